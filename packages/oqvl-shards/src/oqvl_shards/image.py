"""Decode untrusted image files: the header is checked before a pixel is decoded, every failure has a reason."""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image

from oqvl_shards.sample import ReadLimits, RejectReason, SampleError

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
_TURNED = (5, 6, 7, 8)  # the orientations that swap width and height


def decode_image(data: bytes, limits: ReadLimits, declared_type: str | None = None) -> Image.Image:
    """Decode a JPEG, PNG or WebP file to an upright RGB image.

    The EXIF orientation is applied, transparency is composited on white, of an animation the first frame is taken,
    and 16-bit grey is scaled to 8 bits.

    Args:
        data: The file's content.
        limits: Caps on the size, checked against the header before a pixel is decoded.
        declared_type: The type that the member's name says (`jpg`, `jpeg`, `png`, `webp`), to be checked; None: any.

    Raises:
        SampleError: When it is of another format, too large, too small, or broken.
    """
    with _open(data, limits, declared_type) as image:
        image.load()
        transpose = _ORIENTATIONS.get(_orientation(image))
        upright = image if transpose is None else image.transpose(transpose)
        return _to_rgb(upright)


def image_size(data: bytes, limits: ReadLimits) -> tuple[int, int]:
    """Return (width, height) in pixels that `decode_image` would give, from the header alone.

    Raises:
        SampleError: When it is of another format, too large, too small, or its header is broken.
    """
    with _open(data, limits, None) as image:
        width, height = image.size
        return (height, width) if _orientation(image) in _TURNED else (width, height)


@contextmanager
def _open(data: bytes, limits: ReadLimits, declared_type: str | None) -> Iterator[Image.Image]:
    """Open an image with its header checked; whatever Pillow raises in the block becomes a `SampleError`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # hostile data must not write to the log
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
    width, height = image.size
    if width * height > limits.max_image_pixels:
        raise SampleError(
            RejectReason.IMAGE_TOO_LARGE, f"{width} x {height} pixels, at most {limits.max_image_pixels} in all"
        )
    if min(width, height) < limits.min_image_side:
        raise SampleError(
            RejectReason.IMAGE_TOO_SMALL, f"{width} x {height} pixels, a side needs {limits.min_image_side}"
        )
    if declared_type is not None and declared_type not in _FORMAT_TYPES[image.format or ""]:
        raise SampleError(RejectReason.IMAGE_TYPE_MISMATCH, f"a {image.format} file is named {declared_type!r}")


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except (KeyError, OSError, SyntaxError, TypeError, ValueError, struct.error):
        return 1  # EXIF is metadata: when it is broken the pixels are shown as stored, as browsers do


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16-bit grey; Pillow's own conversion clips instead of scaling
        image = Image.fromarray((np.asarray(image, dtype=np.uint32) >> 8).astype(np.uint8))
    if not image.has_transparency_data:
        return image.convert("RGB")
    rgba = image.convert("RGBA")
    white = Image.new("RGBA", rgba.size, "white")
    return Image.alpha_composite(white, rgba).convert("RGB")
