"""Decode untrusted image files. Headers are checked before any pixel is decoded, and every failure has a reason."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image

from oqvl_shards.tar.sample import ReadLimits, RejectReason, SampleError

_FORMATS = ("JPEG", "PNG", "WEBP")
_FORMAT_TYPES = {"JPEG": ("jpg", "jpeg"), "MPO": ("jpg", "jpeg"), "PNG": ("png",), "WEBP": ("webp",)}
_ORIENTATION_TAG = 0x0112  # EXIF 2.32, table 4; the values 2 to 8 as below, 1 is upright
_ORIENTATIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_JPEG_FRAMES = (0xC0, 0xC1, 0xC2)  # baseline, extended sequential, progressive, all with Huffman coding
_JPEG_TABLES = (0xC4, 0xDB, 0xDD, 0xFE)  # Huffman tables, quantization tables, restart interval, comment
_FRAME_HEADER = struct.Struct(">BHHB")  # precision, height, width, components
_PNG_BEGIN = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
_PNG_HEADER = struct.Struct(">IIBBBBB")
_TURNED = (5, 6, 7, 8)  # the orientations that swap width and height


def decode_image(
    data: bytes, limits: ReadLimits, declared_type: str | None = None, *, needed_side: int | None = None
) -> Image.Image:
    """Decode a JPEG, PNG or WebP file to an upright RGB image.

    The EXIF orientation is applied, transparency is composited on white, an animation gives its first frame, and 16-bit
    grey is scaled to 8 bits.

    Args:
        data: The file's content.
        limits: Limits on the size, checked against the header before any pixel is decoded.
        declared_type: The type in the member's name (`jpg`, `jpeg`, `png`, `webp`), to be checked; None accepts any.
        needed_side: The fewest pixels that each side needs, for callers that shrink the image anyway. A JPEG is then
            decoded at a half, a quarter or an eighth of its size if that is enough, which takes a fraction of the time.
            None decodes at full size.

    Raises:
        SampleError: If it is of another format, too large, too small, or broken.
    """
    with _open(data, limits, declared_type) as image:
        if needed_side is not None:
            image.draft(None, (needed_side, needed_side))
        image.load()
        transpose = _ORIENTATIONS.get(_orientation(image))
        upright = image if transpose is None else image.transpose(transpose)
        return _to_rgb(upright)


def image_size(data: bytes, limits: ReadLimits) -> tuple[int, int]:
    """Return the (width, height) in pixels of the image that `decode_image` would return, from the header alone.

    Raises:
        SampleError: If it is of another format, too large, too small, or its header is broken.
    """
    with _open(data, limits, None) as image:
        width, height = image.size
        return (height, width) if _orientation(image) in _TURNED else (width, height)


def check_image_head(head: bytes, limits: ReadLimits) -> bool:
    """Check the format and size of an image file by its first bytes, about twenty times faster than `image_size`.

    Args:
        head: The file's first bytes, a few kilobytes.
        limits: Limits on the size.

    Returns:
        True if these are the first bytes of a JPEG or PNG file within the limits. False if they cannot tell, because
        the file has another format, is unusual or broken, or states its size later. Call `image_size` then.

    Raises:
        SampleError: If the image is too large or too small.
    """
    size = _jpeg_size(head) if head.startswith(b"\xff\xd8\xff") else _png_size(head)
    if size is None:
        return False
    _check_size(*size, limits)
    return True


def _jpeg_size(head: bytes) -> tuple[int, int] | None:
    """Read (width, height) from the frame header of a baseline or progressive JPEG (ITU-T T.81, B.2.2).

    Returns None if the file has no such header, or if the segments before it have gaps or are of unusual kinds.
    """
    position = 2
    while position + 10 <= len(head):
        marker, kind, length = head[position], head[position + 1], head[position + 2] << 8 | head[position + 3]
        if marker != 0xFF or length < 2:
            return None
        if kind in _JPEG_FRAMES:
            precision, height, width, num_components = _FRAME_HEADER.unpack_from(head, position + 4)
            is_plain = precision == 8 and num_components in (1, 3, 4) and length == 8 + 3 * num_components
            return (width, height) if is_plain and width and height else None
        if not (0xE0 <= kind <= 0xEF or kind in _JPEG_TABLES):
            return None
        position += 2 + length
    return None


def _png_size(head: bytes) -> tuple[int, int] | None:
    """Read (width, height) from the header chunk of a PNG (W3C PNG, 11.2.2); None if it is missing or damaged."""
    if head[:16] != _PNG_BEGIN or len(head) < 33:
        return None
    width, height, depth, color, compression, filtering, interlace = _PNG_HEADER.unpack_from(head, 16)
    is_plain = depth in (1, 2, 4, 8, 16) and color in (0, 2, 3, 4, 6) and not compression and not filtering
    is_whole = zlib.crc32(head[12:29]) == int.from_bytes(head[29:33], "big")
    return (width, height) if is_plain and is_whole and interlace < 2 and width and height else None


@contextmanager
def _open(data: bytes, limits: ReadLimits, declared_type: str | None) -> Iterator[Image.Image]:
    """Open an image and check its header. Any exception of Pillow in the block becomes a `SampleError`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # untrusted data must not write to the log
            with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
                _check_header(image, limits, declared_type)
                yield image
    except (SampleError, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        raise SampleError(RejectReason.IMAGE_TOO_LARGE, str(error)) from error
    except Exception as error:  # Pillow's decoders raise a dozen unrelated types on broken input
        raise SampleError(RejectReason.IMAGE_BROKEN, f"{type(error).__name__}: {error}") from error


def _check_header(image: Image.Image, limits: ReadLimits, declared_type: str | None) -> None:
    _check_size(*image.size, limits)
    if declared_type is not None and declared_type not in _FORMAT_TYPES[image.format or ""]:
        raise SampleError(RejectReason.IMAGE_TYPE_MISMATCH, f"a {image.format} file is named {declared_type!r}")


def _check_size(width: int, height: int, limits: ReadLimits) -> None:
    if width * height > limits.max_image_pixels:
        raise SampleError(
            RejectReason.IMAGE_TOO_LARGE, f"{width} x {height} pixels, at most {limits.max_image_pixels} in all"
        )
    if min(width, height) < limits.min_image_side:
        raise SampleError(
            RejectReason.IMAGE_TOO_SMALL, f"{width} x {height} pixels, each side needs at least {limits.min_image_side}"
        )


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except (KeyError, OSError, SyntaxError, TypeError, ValueError, struct.error):
        return 1  # broken EXIF: show the pixels as stored, like browsers


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16-bit grey; Pillow's own conversion clips instead of scaling
        image = Image.fromarray((np.asarray(image, dtype=np.uint32) >> 8).astype(np.uint8))
    if not image.has_transparency_data:
        return image if image.mode == "RGB" else image.convert("RGB")  # `convert` would copy an RGB image
    rgba = image.convert("RGBA")
    white = Image.new("RGBA", rgba.size, "white")
    return Image.alpha_composite(white, rgba).convert("RGB")
