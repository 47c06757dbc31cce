"""Import the published files of well-known benchmarks.

| format | columns besides `image` | items |
|---|---|---|
| `ai2d` | question, options, answer (index from 0) | the questions about one diagram are a cluster |
| `mmbench` | index, question, hint, A to D, answer, category | the rotations of one question are a cluster |
| `mmstar` | index, question (with options), answer, category, l2_category | every item is its own cluster |
| `pope` | question, answer, category | rule `yes_no`; the questions about one picture are a cluster |
| `realworldqa` | question (with or without options), answer | letters if there are options, else short answers |

A question that has its options in its text is asked as it was published (`shows_options`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from oqvl_eval.importers.options import inline_options
from oqvl_eval.importers.table import Row, Table
from oqvl_eval.item import LETTERS, YES_NO, ImageRef, Item
from oqvl_shards.errors import DataError

_MMBENCH_ROTATION = 1_000_000
"""The rotations of a question have its index plus multiples of this."""


class Format(NamedTuple):
    """How the table of one benchmark becomes items.

    Args:
        columns: The columns that the table must have besides `image`.
        item: Makes an item from the number of a row and the row.
    """

    columns: tuple[str, ...]
    item: Callable[[int, Row], Item]


def read_published(name: str, source: Path) -> tuple[list[Item], Mapping[str, bytes]]:
    """Read a published benchmark.

    Args:
        name: A key of `FORMATS`.
        source: A parquet or TSV file, or a folder of parquet files.

    Returns:
        The items, and the pictures that they show, by name.

    Raises:
        DataError: If the file differs from what the benchmark publishes. The message names the row.
    """
    table = Table(source, FORMATS[name].columns)
    return [_item(name, number, row) for number, row in enumerate(table.rows)], table.images


def _item(name: str, number: int, row: Row) -> Item:
    try:
        return FORMATS[name].item(number, row)
    except DataError as error:
        hint = error.hint or f"check that this is a file of {name}"
        raise DataError(f"{row.where}: {error.message}", hint=hint) from error


def _pope_item(number: int, row: Row) -> Item:
    """POPE: is there such an object in the picture? The category says how the objects were sampled."""
    category = row.text("category")
    return Item(
        item_id=f"{category}-{number}",
        cluster_id=row.picture,
        segments=(ImageRef(row.picture), row.text("question")),
        choices=YES_NO,
        answer=row.text("answer").lower(),
        category=category,
        rule="yes_no",
    )


def _mmstar_item(_: int, row: Row) -> Item:
    """MMStar: four options, in the question or in the picture."""
    question, answer = row.text("question"), row.text("answer")
    options = inline_options(question)
    if answer not in tuple(LETTERS[: len(options)]):
        # The options are in the picture, or written in another way. A prompt does not list them, so letters will do.
        options = tuple(LETTERS[:4])
    return Item(
        item_id=row.text("index"),
        cluster_id=row.text("index"),
        segments=(ImageRef(row.picture), question),
        choices=options,
        answer=answer,
        category=row.text("category"),
        shows_options=True,
        metadata={"l2_category": row.text("l2_category")},
    )


def _mmbench_item(_: int, row: Row) -> Item:
    """MMBench: every rotation of a question's options is a row. CircularEval counts a question if all are right."""
    index, question = row.text("index"), row.text("question")
    if not index.isdecimal():
        raise DataError(f"index is {index!r}, expected a number")
    # In some publications, an empty cell reads `nan`.
    hint, *choices = ("" if row.text(name) == "nan" else row.text(name) for name in ("hint", *"ABCD"))
    given = tuple(choice for choice in choices if choice)
    if given != tuple(choices[: len(given)]):
        raise DataError(f"an option is missing between others: {choices}")
    return Item(
        item_id=index,
        cluster_id=str(int(index) % _MMBENCH_ROTATION),
        segments=(ImageRef(row.picture), f"{hint}\n{question}" if hint else question),
        choices=given,
        answer=row.text("answer"),
        category=row.text("category"),
    )


def _realworldqa_item(number: int, row: Row) -> Item:
    """RealWorldQA: questions with lettered options in the text, and open questions with short answers."""
    question, answer = row.text("question"), row.text("answer")
    options = inline_options(question)
    has_options = answer in tuple(LETTERS[: len(options)])
    return Item(
        item_id=str(number),
        cluster_id=str(number),
        segments=(ImageRef(row.picture), question),
        choices=options if has_options else (),
        answer=answer,
        category="options" if has_options else "open",
        shows_options=has_options,
    )


def _ai2d_item(number: int, row: Row) -> Item:
    """AI2D: questions about the diagrams of school books."""
    options, answer = row.values["options"] or (), row.text("answer")
    if not answer.isdecimal() or int(answer) >= len(options):
        raise DataError(f"answer {answer!r} is not the index of one of {len(options)} options")
    return Item(
        item_id=str(number),
        cluster_id=row.picture,
        segments=(ImageRef(row.picture), row.text("question")),
        choices=tuple(options),
        answer=LETTERS[int(answer)],
    )


FORMATS: dict[str, Format] = {
    "ai2d": Format(("question", "options", "answer"), _ai2d_item),
    "mmbench": Format(("index", "question", "hint", "A", "B", "C", "D", "answer", "category"), _mmbench_item),
    "mmstar": Format(("index", "question", "answer", "category", "l2_category"), _mmstar_item),
    "pope": Format(("question", "answer", "category"), _pope_item),
    "realworldqa": Format(("question", "answer"), _realworldqa_item),
}
"""The published benchmarks that can be imported, by the name of their format."""
