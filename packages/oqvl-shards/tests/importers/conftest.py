"""Small images of each type that an importer meets."""

from __future__ import annotations

import io

import pytest
from PIL import Image


def encode(image_format: str, size: tuple[int, int] = (6, 4)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, "teal").save(buffer, image_format)
    return buffer.getvalue()


@pytest.fixture(scope="session")
def images() -> dict[str, bytes]:
    """Image files by format; `tiny` is a PNG of one pixel."""
    return {name: encode(name) for name in ("JPEG", "PNG", "WEBP", "GIF")} | {"tiny": encode("PNG", (1, 1))}
