"""A JSON Lines file and a folder of pictures: the simplest way to bring one's own benchmark.

One object a line:

    {"id": "plate-1",                           required, unique
     "question": "<image>What is on the plate?", required; <image> marks where each picture stands
     "images": ["plates/1.jpg"],                 names below the folder; without marks they come before the question
     "choices": ["an apple", "a pear"],          options without letters; absent for an open question
     "answer": "B",                              required: a letter, or the option's index from 0; or a short answer
     "cluster": "plate",                         absent: the id
     "category": "food",                         absent: empty
     "accepted_answers": ["pear"],               open questions: further right answers
     "metadata": {}}                             anything else
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import Field, StrictInt, ValidationError

from oqvl_eval.item import LETTERS, ImageRef, Item
from oqvl_shards.config import Frozen
from oqvl_shards.errors import DataError

IMAGE_MARK = "<image>"


class JsonlItem(Frozen):
    """One line of the file."""

    id: str = Field(min_length=1)
    question: str
    images: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    answer: str | StrictInt
    cluster: str = ""
    category: str = ""
    accepted_answers: tuple[str, ...] = ()
    metadata: dict[str, Any] = Field(default_factory=dict)


class ImageFolder(Mapping[str, bytes]):
    """The files of a folder by their relative POSIX paths, read when they are asked for.

    Args:
        directory: The folder.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def __getitem__(self, name: str) -> bytes:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name:
            raise DataError(f"picture name {name!r} leaves the folder {self._directory}")
        try:
            return (self._directory / path).read_bytes()
        except OSError as error:
            raise KeyError(name) from error

    def __iter__(self) -> Iterator[str]:
        files = (path for path in self._directory.rglob("*") if path.is_file())
        return iter(sorted(path.relative_to(self._directory).as_posix() for path in files))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def read_jsonl(path: Path) -> Iterator[Item]:
    """Yield the items of a JSON Lines file; blank lines are skipped.

    Raises:
        DataError: When the file cannot be read or a line is not an item; the line is named.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield _parse_line(line, f"{path}, line {number}")


def _parse_line(line: str, where: str) -> Item:
    try:
        values = JsonlItem.model_validate(json.loads(line))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        raise DataError(f"{where}: {key}: {first['msg']}; found {first['input']!r:.100}") from error
    except (json.JSONDecodeError, RecursionError) as error:
        raise DataError(f"{where} is not JSON: {error}") from error
    try:
        return Item(
            item_id=values.id,
            cluster_id=values.cluster or values.id,
            segments=interleave(values.question, values.images),
            choices=values.choices,
            answer=_answer(values),
            category=values.category,
            metadata=_metadata(values),
        )
    except DataError as error:
        raise DataError(f"{where}: {error.message}", hint=error.hint) from error


def interleave(question: str, images: tuple[str, ...]) -> tuple[str | ImageRef, ...]:
    """Put each picture where its mark stands in `question`; without marks, all before it.

    Raises:
        DataError: When the numbers of marks and of pictures differ.
    """
    texts = question.split(IMAGE_MARK)
    if len(texts) == 1:
        return (*map(ImageRef, images), question)
    if len(texts) != len(images) + 1:
        raise DataError(f"the question has {len(texts) - 1} {IMAGE_MARK} marks and {len(images)} pictures")
    segments: list[str | ImageRef] = [texts[0]]
    for name, text in zip(images, texts[1:], strict=True):
        segments += [ImageRef(name), text]
    return tuple(segment for segment in segments if segment != "")


def _answer(values: JsonlItem) -> str:
    if isinstance(values.answer, str):
        return values.answer
    if not 0 <= values.answer < len(values.choices):
        raise DataError(f"answer {values.answer} is not the index of one of {len(values.choices)} options")
    return LETTERS[values.answer]


def _metadata(values: JsonlItem) -> dict[str, Any]:
    accepted = {"accepted_answers": list(values.accepted_answers)} if values.accepted_answers else {}
    return {**values.metadata, **accepted}
