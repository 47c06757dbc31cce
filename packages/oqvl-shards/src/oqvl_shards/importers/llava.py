"""LLaVA's layout of instruction data: conversations in a JSON or JSONL file, images in a folder.

A record is `{"id": ..., "image": "a.jpg" | ["a.jpg", "b.jpg"], "conversations": [{"from": "human", "value": "..."}]}`;
`image` is absent in a conversation without images. LLaVA-665k and MAmmoTH-VL have this layout. Ours is in
docs/formats.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from oqvl_shards.importers.conversion import LIMITS, ConvertedSample, ImportReason, check_image
from oqvl_shards.manifest import FieldSpec
from oqvl_shards.tar.index import is_safe_name
from oqvl_shards.tar.reader import parse_json
from oqvl_shards.tar.sample import RejectReason, SampleError

FIELDS = (
    FieldSpec(name="conversations", dtype="json", description="turns: from (human, gpt, system) and value"),
    FieldSpec(name="images", dtype="image", description="one for each <image> mark in the human turns, in order"),
)

IMAGE_MARK = "<image>"
"""Stands for an image in a human turn."""

_SPEAKERS = {"human": "human", "user": "human", "gpt": "gpt", "assistant": "gpt", "system": "system"}
"""The speakers in records, and their names in our layout."""


def convert_conversation(data: bytes, folder: Path) -> ConvertedSample:
    """Turn one record into a sample of kind `conversation`.

    Args:
        data: The record's JSON.
        folder: The folder that its image paths are relative to. No path may lead out of it.

    Raises:
        SampleError: If the record or one of its images cannot be used.
    """
    record = parse_json(data, LIMITS)
    turns = _turns(record.get("conversations"))
    paths = _image_paths(record.get("image"))
    _check_marks(turns, len(paths))
    images = [_read_image(path, folder) for path in paths]
    document: dict[str, Any] = {"conversations": turns}
    if isinstance(record.get("id"), str | int):
        document["id"] = record["id"]
    if paths:
        document["source_images"] = paths
    counts = Counter(
        turns=len(turns),
        text_characters=sum(len(turn["value"]) for turn in turns),
        conversations_without_image=int(not paths),
    )
    return ConvertedSample(document, images, counts)


def _turns(conversations: Any) -> list[dict[str, str]]:
    if not isinstance(conversations, list) or not conversations:
        raise SampleError(ImportReason.BAD_CONVERSATION, f"conversations is {type(conversations).__name__}, or empty")
    turns = []
    for number, turn in enumerate(conversations):
        speaker, value = (turn.get("from"), turn.get("value")) if isinstance(turn, Mapping) else (None, None)
        if not isinstance(speaker, str) or speaker not in _SPEAKERS or not isinstance(value, str):
            raise SampleError(ImportReason.BAD_CONVERSATION, f"turn {number} is from {speaker!r:.40}")
        turns.append({"from": _SPEAKERS[speaker], "value": value})
    return turns


def _image_paths(image: Any) -> list[str]:
    paths = [] if image is None or image == "" else image if isinstance(image, list) else [image]
    if not all(isinstance(path, str) for path in paths):
        raise SampleError(ImportReason.UNSAFE_PATH, "image is neither a path nor a list of paths")
    return paths


def _check_marks(turns: list[dict[str, str]], num_images: int) -> None:
    num_marks = Counter[str]()
    for turn in turns:
        num_marks[turn["from"]] += turn["value"].count(IMAGE_MARK)
    if num_marks["human"] != num_images or num_marks.total() != num_images:
        raise SampleError(
            ImportReason.IMAGE_MARK_MISMATCH,
            f"{num_images} images, marks by speaker: {dict(sorted(num_marks.items()))}",
        )


def _read_image(path: str, folder: Path) -> tuple[str, bytes]:
    if not is_safe_name(path):
        raise SampleError(ImportReason.UNSAFE_PATH, repr(path))
    try:
        file = (folder / path).resolve()
        if not file.is_relative_to(folder.resolve()):
            raise SampleError(ImportReason.UNSAFE_PATH, f"{path!r} leads out of the image folder")
        if not file.is_file():
            raise SampleError(ImportReason.MISSING_IMAGE, repr(path))
        if file.stat().st_size > LIMITS.max_member_bytes:
            raise SampleError(RejectReason.MEMBER_TOO_LARGE, repr(path))
        data = file.read_bytes()
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links, up to Python 3.12
        raise SampleError(ImportReason.MISSING_IMAGE, f"{path!r}: {error}") from error
    return check_image(data), data
