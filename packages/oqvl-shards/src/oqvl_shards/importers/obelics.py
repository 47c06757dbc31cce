"""OBELICS documents: one JSON object each, with aligned lists of texts and of images in base64.

A record is `{"texts": ["...", null, ...], "image_info": [null, {"image_base64": "..."}, ...]}`, with a text or an image
at each index. Records are the `.json` members of tars, the lines of JSONL files, or the elements of JSON arrays.
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from oqvl_shards.errors import ConfigError
from oqvl_shards.importers.conversion import LIMITS, ConvertedSample, ImportReason, check_image
from oqvl_shards.manifest import FieldSpec
from oqvl_shards.natural_order import natural_key
from oqvl_shards.tar.reader import parse_json
from oqvl_shards.tar.sample import RejectReason, SampleError

FIELDS = (
    FieldSpec(name="texts", dtype="json", description="a string or null at each place of the document"),
    FieldSpec(
        name="images", dtype="image", description="an image member's suffix or null at each place of the document"
    ),
)

_FILE_TYPES = frozenset({".tar", ".json", ".jsonl"})


def find_sources(source: Path) -> list[Path]:
    """Return `source` if it is a file, else the files in it and below it, in natural order of their paths.

    Raises:
        ConfigError: If there is no such file or directory, or no file with documents in it.
    """
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise ConfigError(f"no file or directory at {source}", hint="check the path")
    files = [path for path in source.rglob("*") if path.suffix in _FILE_TYPES and path.is_file()]
    if not files:
        raise ConfigError(f"{source} holds no .tar, .jsonl or .json file", hint="check the path")
    return sorted(files, key=lambda path: natural_key(path.relative_to(source).as_posix()))


def sources_digest(files: list[Path], source: Path) -> str:
    """Return a sha256 (64 hex digits) of the files' paths below `source` and their sizes."""
    base = source if source.is_dir() else source.parent
    lines = [f"{file.relative_to(base).as_posix()}\0{file.stat().st_size}\n" for file in files]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def convert_document(data: bytes) -> ConvertedSample:
    """Turn one record into a sample of kind `interleaved`.

    Blank texts, and images that are absent or cannot be read, are left out of the document and counted.

    Raises:
        SampleError: If the record is not such a document, or if it has no text left, or no image.
    """
    record = parse_json(data, LIMITS)
    texts, infos = record.get("texts"), record.get("image_info")
    if not isinstance(texts, list) or not isinstance(infos, list) or len(texts) != len(infos):
        raise SampleError(ImportReason.MISALIGNED, "texts and image_info are not lists of the same length")
    new_texts: list[str | None] = []
    new_images: list[str | None] = []
    images: list[tuple[str, bytes]] = []
    counts: Counter[str] = Counter()
    for place, (text, info) in enumerate(zip(texts, infos, strict=True)):
        if text is not None and info is not None:
            raise SampleError(ImportReason.MISALIGNED, f"place {place} holds both a text and an image")
        if isinstance(text, str) and text.strip():
            new_texts.append(text)
            new_images.append(None)
            counts["text_characters"] += len(text)
        elif isinstance(info, Mapping) and (image := decode_image_base64(info.get("image_base64"))):
            new_texts.append(None)
            new_images.append(f"{len(images)}.{image[0]}")
            images.append(image)
        else:
            counts["dropped_images" if info is not None else "dropped_blanks"] += 1
    if not images:
        raise SampleError(RejectReason.NO_IMAGE)
    if len(images) == len(new_texts):
        raise SampleError(RejectReason.NO_TEXT)
    return ConvertedSample({"texts": new_texts, "images": new_images}, images, counts)


def decode_image_base64(encoded: Any) -> tuple[str, bytes] | None:
    """Return (type, file content) of an image in base64; None if it is not an image that can be read."""
    if not isinstance(encoded, str):
        return None
    try:
        data = base64.b64decode(encoded)
        return check_image(data), data
    except (ValueError, SampleError):
        return None
