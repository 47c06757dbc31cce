"""Import a JSON Lines file and a folder of pictures: the simplest format for your own benchmark.

The file has one object per line:

    {"id": "plate-1",                            required, unique
     "question": "<image>What is on the plate?", required; each <image> mark stands for one picture
     "images": ["plates/1.jpg"],                 names relative to the folder; without marks, they precede the question
     "choices": ["an apple", "a pear"],          the options without letters; leave out for an open question
     "answer": "B",                              required: a letter, an option's index from 0, or a short answer
     "cluster": "plate",                         default: the id
     "category": "food",                         default: empty
     "accepted_answers": ["pear"],               open questions: other answers that count as right
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
"""The mark that stands for a picture in a question."""


class _Line(Frozen):
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
    """The files of a folder, by their relative POSIX paths. A file is read when its name is looked up.

    Args:
        directory: The folder.

    Raises:
        DataError: On lookup, if a name would leave the folder.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def __getitem__(self, name: str) -> bytes:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name:
            raise DataError(
                f"picture name {name!r} leaves the folder {self._directory}",
                hint="picture names are relative to the folder, with forward slashes",
            )
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
    """Yield the items of a JSON Lines file. Blank lines are skipped.

    Raises:
        DataError: If the file cannot be read, or a line is not an item. The message names the line.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}", hint="expected a JSON Lines file in UTF-8") from error
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield _parse_line(line, f"{path}, line {number}")


def _parse_line(text: str, where: str) -> Item:
    """Return the item of one line; every `DataError` starts with `where`."""
    try:
        line = _Line.model_validate(json.loads(text))
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in problem["loc"])
        raise DataError(
            f"{where}: {key}: {problem['msg']}; found {problem['input']!r:.100}",
            hint=f"an item has the fields {', '.join(_Line.model_fields)}",
        ) from error
    except (json.JSONDecodeError, RecursionError) as error:
        raise DataError(f"{where} is not JSON: {error}", hint="write one JSON object per line") from error
    try:
        return Item(
            item_id=line.id,
            cluster_id=line.cluster or line.id,
            segments=_interleave(line.question, line.images),
            choices=line.choices,
            answer=_answer(line),
            category=line.category,
            metadata=_metadata(line),
        )
    except DataError as error:
        raise DataError(f"{where}: {error.message}", hint=error.hint) from error


def _interleave(question: str, images: tuple[str, ...]) -> tuple[str | ImageRef, ...]:
    """Replace each mark in `question` by the next picture. Without marks, all pictures precede the question.

    Raises:
        DataError: If marks and pictures differ in number.
    """
    texts = question.split(IMAGE_MARK)
    if len(texts) == 1:
        return (*map(ImageRef, images), question)
    if len(texts) != len(images) + 1:
        raise DataError(
            f"the question has {len(texts) - 1} {IMAGE_MARK} marks, but there are {len(images)} images",
            hint="write one mark per image, or none at all",
        )
    segments: list[str | ImageRef] = [texts[0]]
    for name, text in zip(images, texts[1:], strict=True):
        segments += [ImageRef(name), text]
    return tuple(segment for segment in segments if segment != "")


def _answer(line: _Line) -> str:
    if isinstance(line.answer, str):
        return line.answer
    if not 0 <= line.answer < min(len(line.choices), len(LETTERS)):
        raise DataError(
            f"answer {line.answer} is not the index of one of {len(line.choices)} options",
            hint="the index of the first option is 0",
        )
    return LETTERS[line.answer]


def _metadata(line: _Line) -> dict[str, Any]:
    accepted = {"accepted_answers": list(line.accepted_answers)} if line.accepted_answers else {}
    return {**line.metadata, **accepted}
