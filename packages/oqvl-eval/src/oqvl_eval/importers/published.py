"""The published files of known benchmarks, brought to items.

| format | columns besides `image` | items |
|---|---|---|
| `ai2d` | question, options, answer (index from 0) | a cluster: the questions about one diagram |
| `mmbench` | index, question, hint, A to D, answer, category | a cluster: the rotations of one question |
| `mmstar` | index, question (options inside), answer, category, l2_category | each stands alone |
| `pope` | question, answer, category | rule `yes_no`; a cluster: the questions about one picture |
| `realworldqa` | question (options inside), answer | letters where there are options, else short answers |

Questions that hold their options are asked as they are published (`shows_options`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from oqvl_eval.importers.options import inline_options
from oqvl_eval.importers.table import Row, Table
from oqvl_eval.item import LETTERS, YES_NO, ImageRef, Item
from oqvl_shards.errors import DataError

MMBENCH_ROTATION = 1_000_000
"""Rotations of a question have its index plus multiples of this. In some publications an empty cell reads `nan`."""


class Format(NamedTuple):
    """How one benchmark's table becomes items.

    Args:
        columns: The columns that it must have besides `image`.
        items: Makes the items of the rows.
    """

    columns: tuple[str, ...]
    items: Callable[[list[Row]], Iterator[Item]]


def read_published(name: str, source: Path) -> tuple[list[Item], Mapping[str, bytes]]:
    """Read a published benchmark.

    Args:
        name: A key of `FORMATS`.
        source: A parquet or TSV file, or a folder of parquet files.

    Returns:
        The items, and the pictures that they show by name.

    Raises:
        DataError: When the file is not as the benchmark publishes it; the row is named.
    """
    table = Table(source, FORMATS[name].columns)
    return list(FORMATS[name].items(table.rows)), table.images


def pope_items(rows: list[Row]) -> Iterator[Item]:
    """POPE: is there such an object in the picture? The category is how the objects were drawn."""
    for number, row in enumerate(rows):
        answer = row.text("answer").lower()
        if answer not in YES_NO:
            raise DataError(f"{row.where}: answer {row.text('answer')!r}, expected yes or no")
        category = row.text("category")
        yield Item(
            item_id=f"{category}-{number}",
            cluster_id=row.picture,
            segments=(ImageRef(row.picture), row.text("question")),
            choices=YES_NO,
            answer=answer,
            category=category,
            rule="yes_no",
        )


def mmstar_items(rows: list[Row]) -> Iterator[Item]:
    """MMStar: four options inside the question or the picture."""
    for row in rows:
        question, answer = row.text("question"), row.text("answer")
        options = inline_options(question)
        if answer not in tuple(LETTERS[: len(options)]):
            options = tuple(LETTERS[:4])  # they stand in the picture, or in a form of their own
        yield Item(
            item_id=row.text("index"),
            cluster_id=row.text("index"),
            segments=(ImageRef(row.picture), question),
            choices=options,
            answer=answer,
            category=row.text("category"),
            shows_options=True,
            metadata={"l2_category": row.text("l2_category")},
        )


def mmbench_items(rows: list[Row]) -> Iterator[Item]:
    """MMBench: every rotation of a question's options is a row; CircularEval counts a question when all are right."""
    for row in rows:
        question = row.text("question")
        hint, *choices = ("" if row.text(name) == "nan" else row.text(name) for name in ("hint", *"ABCD"))
        given = tuple(choice for choice in choices if choice)
        if given != tuple(choices[: len(given)]):
            raise DataError(f"{row.where}: an option is missing between others: {choices}")
        yield Item(
            item_id=row.text("index"),
            cluster_id=str(int(row.text("index")) % MMBENCH_ROTATION),
            segments=(ImageRef(row.picture), f"{hint}\n{question}" if hint else question),
            choices=given,
            answer=row.text("answer"),
            category=row.text("category"),
        )


def realworldqa_items(rows: list[Row]) -> Iterator[Item]:
    """RealWorldQA: questions with lettered options in the text, and open questions with short answers."""
    for number, row in enumerate(rows):
        question, answer = row.text("question"), row.text("answer")
        options = inline_options(question)
        has_options = answer in tuple(LETTERS[: len(options)])
        yield Item(
            item_id=str(number),
            cluster_id=str(number),
            segments=(ImageRef(row.picture), question),
            choices=options if has_options else (),
            answer=answer,
            category="options" if has_options else "open",
            shows_options=has_options,
        )


def ai2d_items(rows: list[Row]) -> Iterator[Item]:
    """AI2D: questions about diagrams of school books."""
    for number, row in enumerate(rows):
        options, answer = row.values["options"], row.text("answer")
        if not answer.isdecimal() or int(answer) >= len(options):
            raise DataError(f"{row.where}: answer {answer!r} is not the index of one of {len(options)} options")
        yield Item(
            item_id=str(number),
            cluster_id=row.picture,
            segments=(ImageRef(row.picture), row.text("question")),
            choices=tuple(options),
            answer=LETTERS[int(answer)],
        )


FORMATS: dict[str, Format] = {
    "ai2d": Format(("question", "options", "answer"), ai2d_items),
    "mmbench": Format(("index", "question", "hint", "A", "B", "C", "D", "answer", "category"), mmbench_items),
    "mmstar": Format(("index", "question", "answer", "category", "l2_category"), mmstar_items),
    "pope": Format(("question", "answer", "category"), pope_items),
    "realworldqa": Format(("question", "answer"), realworldqa_items),
}
