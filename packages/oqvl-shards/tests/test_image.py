import io
import struct
import tracemalloc
import warnings
import zlib
from enum import StrEnum
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile, ImageOps

from oqvl_shards.image import check_image_head, decode_image, image_size
from oqvl_shards.tar.sample import ReadLimits, RejectReason, SampleError

LIMITS = ReadLimits()


def encode(image: Image.Image, image_format: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def gradient(width: int = 12, height: int = 8) -> Image.Image:
    pixels = np.arange(width * height * 3, dtype=np.uint8).reshape(height, width, 3)
    return Image.fromarray(pixels)


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_bomb(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(1 << 20))
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", body) + png_chunk(b"IEND", b"")


def webp_bomb(width: int, height: int) -> bytes:
    """An animated WebP whose canvas is announced in the header alone."""
    canvas = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    extended = b"VP8X" + struct.pack("<I", 10) + b"\x02\0\0\0" + canvas
    small = encode(Image.new("RGB", (2, 2)), "WEBP", lossless=True)[12:]
    frame = bytes(6) + (1).to_bytes(3, "little") * 2 + (10).to_bytes(3, "little") + b"\0" + small
    body = (
        b"WEBP" + extended + b"ANIM" + struct.pack("<I", 6) + bytes(6) + b"ANMF" + struct.pack("<I", len(frame)) + frame
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


def reason_of(data: bytes, limits: ReadLimits = LIMITS, declared_type: str | None = None) -> StrEnum:
    with pytest.raises(SampleError) as caught:
        decode_image(data, limits, declared_type)
    return caught.value.reason


@pytest.mark.parametrize("image_format", ["PNG", "WEBP", "JPEG"])
def test_pixels_come_through(image_format):
    options = {"WEBP": {"lossless": True}, "JPEG": {"quality": 100, "subsampling": 0}}.get(image_format, {})
    image = decode_image(encode(gradient(), image_format, **options), LIMITS)
    assert (image.mode, image.size) == ("RGB", (12, 8))
    tolerance = 12 if image_format == "JPEG" else 0
    assert np.abs(np.asarray(image, int) - np.asarray(gradient(), int)).max() <= tolerance


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "WEBP"])
def test_exif_orientation_is_applied(orientation, image_format):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(gradient(), image_format, exif=exif)
    image = decode_image(data, LIMITS)
    with Image.open(io.BytesIO(data)) as opened:
        assert np.array_equal(np.asarray(image), np.asarray(ImageOps.exif_transpose(opened)))
    assert image.size == ((8, 12) if orientation >= 5 else (12, 8))
    assert image_size(data, LIMITS) == image.size


def orientation_exif(value: bytes, kind: int = 3) -> bytes:
    """EXIF with one entry, the orientation: its value in four bytes, of a TIFF field type (3 is a 16-bit integer)."""
    entry = struct.pack(">HHI", 0x0112, kind, 1) + value.ljust(4, b"\0")
    return b"Exif\0\0MM\0*" + struct.pack(">IH", 8, 1) + entry + bytes(4)


@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize(
    "exif",
    [
        b"Exif\0\0garbage",
        b"Exif\0\0MM\0*\0\0",
        orientation_exif(b"\0\6")[:-8],
        orientation_exif(b"x", kind=2),
        orientation_exif(b"\0\0"),
        orientation_exif(b"\0\x09"),
    ],
    ids=["no header", "cut header", "cut entry", "text", "0", "9"],
)
def test_broken_exif_is_no_orientation(exif, image_format):
    data = encode(gradient(), image_format, exif=exif)
    assert decode_image(data, LIMITS).size == image_size(data, LIMITS) == (12, 8)


def test_the_exif_above_would_turn_the_image():
    data = encode(gradient(), exif=orientation_exif(b"\0\6"))
    assert decode_image(data, LIMITS).size == image_size(data, LIMITS) == (8, 12)


@pytest.mark.parametrize(
    ("needed", "size"), [(None, (400, 240)), (121, (400, 240)), (120, (200, 120)), (31, (100, 60)), (1, (50, 30))]
)
def test_a_jpeg_is_decoded_as_small_as_it_may_be(needed: int | None, size: tuple[int, int]):
    whole = encode(Image.new("RGB", (400, 240), (200, 30, 90)), "JPEG")
    image = decode_image(whole, LIMITS, needed_side=needed)
    assert image.size == size
    assert np.abs(np.asarray(image).astype(int) - (200, 30, 90)).max() <= 3
    turned = Image.Exif()
    turned[0x0112] = 6
    upright = decode_image(
        encode(Image.new("RGB", (400, 240)), "JPEG", exif=turned.tobytes()), LIMITS, needed_side=needed
    )
    assert upright.size == size[::-1]
    assert decode_image(encode(Image.new("RGB", (400, 240)), "PNG"), LIMITS, needed_side=needed).size == (400, 240)


def test_transparency_is_composited_on_white():
    half_red = Image.new("RGBA", (4, 4), (255, 0, 0, 128))
    assert decode_image(encode(half_red), LIMITS).getpixel((0, 0)) == (255, 127, 127)
    assert decode_image(encode(Image.new("LA", (4, 4), (0, 0))), LIMITS).getpixel((0, 0)) == (255, 255, 255)
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([0, 0, 0, 10, 20, 30])
    assert decode_image(encode(palette), LIMITS).getpixel((0, 0)) == (10, 20, 30)
    assert decode_image(encode(palette, transparency=1), LIMITS).getpixel((0, 0)) == (255, 255, 255)
    opaque = Image.new("RGB", (4, 4), (1, 2, 3))
    assert decode_image(encode(opaque, transparency=(1, 2, 3)), LIMITS).getpixel((0, 0)) == (255, 255, 255)


def test_other_modes_become_rgb():
    cmyk = decode_image(encode(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=100), LIMITS)
    assert cmyk.mode == "RGB"
    assert np.abs(np.asarray(cmyk, int) - [255, 0, 0]).max() <= 3
    assert decode_image(encode(Image.new("L", (4, 4), 7)), LIMITS).getpixel((0, 0)) == (7, 7, 7)
    assert decode_image(encode(Image.new("1", (4, 4), 1)), LIMITS).getpixel((0, 0)) == (255, 255, 255)
    deep_grey = Image.fromarray(np.full((4, 4), 0x8040, dtype=np.uint16))
    assert decode_image(encode(deep_grey), LIMITS).getpixel((0, 0)) == (0x80, 0x80, 0x80)


@pytest.mark.parametrize("image_format", ["PNG", "WEBP"])
def test_of_an_animation_the_first_frame_is_taken(image_format):
    frames = [Image.new("RGB", (4, 4), color) for color in ("red", "blue")]
    data = encode(frames[0], image_format, save_all=True, append_images=frames[1:], lossless=True)
    assert decode_image(data, LIMITS).getpixel((0, 0)) == (255, 0, 0)


def test_of_a_multi_picture_jpeg_the_first_is_taken():
    data = encode(Image.new("RGB", (16, 16), "red"), "MPO", save_all=True, append_images=[Image.new("RGB", (16, 16))])
    assert decode_image(data, LIMITS, "jpg").getpixel((0, 0)) == (254, 0, 0)


@pytest.mark.parametrize("size", [(13_000, 13_000), (60_000, 60_000)])
@pytest.mark.parametrize("bomb", [png_bomb, webp_bomb])
def test_a_decompression_bomb_is_refused_by_its_header(bomb, size):
    data = bomb(*size)
    tracemalloc.start()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert reason_of(data) is RejectReason.IMAGE_TOO_LARGE
        with pytest.raises(SampleError, match="image_too_large"):
            image_size(data, LIMITS)
    assert tracemalloc.get_traced_memory()[1] < 10 << 20
    tracemalloc.stop()


def test_size_limits_are_inclusive():
    data = encode(gradient(12, 8))
    assert decode_image(data, ReadLimits(max_image_pixels=96, min_image_side=8)).size == (12, 8)
    assert reason_of(data, ReadLimits(max_image_pixels=95)) is RejectReason.IMAGE_TOO_LARGE
    assert reason_of(data, ReadLimits(min_image_side=9)) is RejectReason.IMAGE_TOO_SMALL


def test_a_tracking_pixel_is_too_small():
    assert reason_of(encode(Image.new("RGB", (1, 1)))) is RejectReason.IMAGE_TOO_SMALL


@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "WEBP"])
def test_a_truncated_image_is_broken(image_format):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    data = encode(noise, image_format)
    assert reason_of(data[: len(data) * 2 // 3]) is RejectReason.IMAGE_BROKEN
    assert reason_of(data[:8]) is RejectReason.IMAGE_BROKEN
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


@pytest.mark.parametrize("image_format", ["GIF", "BMP", "TIFF", "PPM", "ICO"])
def test_other_formats_stay_closed(image_format):
    assert reason_of(encode(Image.new("RGB", (16, 16)), image_format)) is RejectReason.IMAGE_BROKEN


def test_the_declared_type_is_checked():
    data = encode(gradient())
    assert decode_image(data, LIMITS, "png").size == (12, 8)
    assert reason_of(data, declared_type="jpg") is RejectReason.IMAGE_TYPE_MISMATCH
    for name in ("jpg", "jpeg"):
        assert decode_image(encode(gradient(), "JPEG"), LIMITS, name).size == (12, 8)


def test_a_huge_text_chunk_is_not_inflated():
    chunk = png_chunk(b"zTXt", b"key\0\0" + zlib.compress(bytes(8 << 20)))
    data = encode(gradient())
    assert reason_of(data[:33] + chunk + data[33:]) is RejectReason.IMAGE_BROKEN


@settings(deadline=None)
@given(
    st.sampled_from(["PNG", "JPEG", "WEBP"]),
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=8),
)
def test_damage_gives_a_reason_or_an_image(image_format, changes):
    data = bytearray(encode(gradient(), image_format))
    for position, value in changes:
        data[position % len(data)] = value
    for read in (decode_image, image_size):
        try:
            read(bytes(data), LIMITS)
        except SampleError as error:
            assert isinstance(error.reason, RejectReason)


def test_running_out_of_memory_is_not_the_image_s_fault(monkeypatch):
    def fail(*_args, **_options):
        raise MemoryError

    monkeypatch.setattr(Image, "open", fail)
    with pytest.raises(MemoryError):
        decode_image(b"", LIMITS)


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK", "P"])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"icc_profile": b"p" * 3000}])
def test_the_head_says_what_the_file_says(form: str, mode: str, options: dict[str, Any]) -> None:
    if (form == "PNG" and mode == "CMYK") or (form == "JPEG" and mode == "P"):
        return
    buffer = io.BytesIO()
    Image.new("RGB", (37, 21)).convert(mode).save(buffer, form, **options)
    data = buffer.getvalue()
    for limits in (ReadLimits(), ReadLimits(max_image_pixels=776), ReadLimits(min_image_side=22)):
        try:
            expected: object = bool(image_size(data, limits))
        except SampleError as error:
            expected = error.reason
        try:
            found: object = check_image_head(data[:4096], limits)
        except SampleError as error:
            found = error.reason
        assert found == expected
    # A head that ends before the size does not say.
    assert not any(check_image_head(data[:length], ReadLimits()) for length in range(20))


@given(st.binary(max_size=60), st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"]))
def test_a_head_of_anything_is_checked_without_an_error(tail: bytes, start: bytes) -> None:
    try:
        is_known = check_image_head(start + tail, ReadLimits())
    except SampleError as error:
        assert error.reason in (RejectReason.IMAGE_TOO_LARGE, RejectReason.IMAGE_TOO_SMALL)
        return
    assert is_known in (True, False)


def test_webp_and_damaged_png_heads_do_not_say() -> None:
    png = encode(gradient())
    buffer = io.BytesIO()
    Image.new("RGB", (37, 21)).save(buffer, "WEBP")
    assert not check_image_head(buffer.getvalue(), ReadLimits())
    assert check_image_head(png, ReadLimits())
    assert not check_image_head(png[:19] + b"\x0d" + png[20:], ReadLimits())
