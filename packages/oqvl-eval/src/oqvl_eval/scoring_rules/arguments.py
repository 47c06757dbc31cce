"""What the functions of the harnesses need of an item, taken from its fields and its metadata.

| task | metadata |
|---|---|
| textvqa, vqav2, okvqa, vizwiz | `human_answers`: the answers of people, with repetitions; else the accepted answers |
| mathvista | `answer_type` (`text`, `integer`, `float` or `list`) and `precision`, the number of decimals |
| vcr | `covered_texts`: the texts that the picture covers; else the accepted answers |
| mantis | `dataset`: the data set that the item comes from |
| mmstar | `l2_category` |
| mmmu | none; the category, or else the item's id, says the subject |
| mtvqa | none; the category is the language |
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from oqvl_eval.item import LETTERS, Item
from oqvl_eval.profiles.rotation import Rotation
from oqvl_shards.errors import DataError


def options_by_letter(item: Item) -> dict[str, str]:
    """Return the texts of the options by letter."""
    return dict(zip(item.letters, item.choices, strict=True))


def options_or_none(item: Item) -> tuple[str, ...] | None:
    """Return the texts of the options; None for an open question."""
    return item.choices or None


def gold_index(item: Item) -> int:
    """Return the index of the right option.

    Raises:
        DataError: If the item has no lettered options.
    """
    if item.answer not in item.letters:
        raise DataError(
            f"item {item.item_id!r} has no lettered options, which its task has",
            hint="give the task another name, then its items are scored by their own rules",
        )
    return LETTERS.index(item.answer)


def golds(item: Item) -> str | list[str]:
    """Return the right answer, or a list if an open question has several."""
    accepted = item.accepted_answers
    return item.answer if item.choices or len(accepted) == 1 else list(accepted)


def human_answers(item: Item) -> Sequence[str]:
    """Return the answers of people, with repetitions."""
    return _texts(item, "human_answers")


def human_entries(item: Item) -> list[dict[str, object]]:
    """Return the answers of people as numbered entries, so that equal answers of two people differ."""
    return [{"answer": answer, "answer_id": number} for number, answer in enumerate(human_answers(item), start=1)]


def covered_texts(item: Item) -> Sequence[str]:
    """Return the texts that the picture covers."""
    return _texts(item, "covered_texts")


def question_type(item: Item) -> str:
    """Return what MathVista calls the type of the question."""
    return "multi_choice" if item.choices else "free_form"


def answer_type(item: Item) -> str:
    """Return what MathVista calls the type of the answer; `text` if the metadata does not say."""
    return str(item.metadata.get("answer_type", "text"))


def precision(item: Item) -> float | None:
    """Return the number of decimals of a MathVista answer; None if the metadata does not say.

    Raises:
        DataError: If it is not a number.
    """
    value = item.metadata.get("precision")
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise DataError(
            f"item {item.item_id!r}: precision in metadata is {value!r}, expected a number of decimals",
            hint="leave precision out if the answer is not a decimal number",
        )
    return value


def gold_text(item: Item) -> str:
    """Return the text of the right option, or the answer to an open question."""
    return item.choices[gold_index(item)] if item.choices else item.answer


def rotation_of(item: Item, output: str) -> Rotation:
    """Return an answer as one of the rotations of an MMBench question.

    Raises:
        DataError: If the item's id is not the index of its row.
    """
    if not item.item_id.isdecimal():
        raise DataError(
            f"item {item.item_id!r} of mmbench: the id is not the index of a row, which says what it is a rotation of",
            hint="import the published file with format=mmbench, or give the task another name",
        )
    return Rotation(int(item.item_id), output, options_by_letter(item), item.answer)


def subject(item: Item) -> str:
    """Return the subject of an MMMU item: that in an id such as `validation_Art_Theory_3`, else the category."""
    match = re.fullmatch(r"[^_]*_(.+?)_\d+", item.item_id)
    return match.group(1) if match else item.category


def _texts(item: Item, name: str) -> Sequence[str]:
    """Return the texts of one field of the metadata, or the accepted answers if it is not there."""
    texts = item.metadata.get(name)
    if texts is None:
        return item.accepted_answers
    if not isinstance(texts, list | tuple) or not texts or not all(isinstance(text, str) for text in texts):
        raise DataError(
            f"item {item.item_id!r}: {name} in metadata is {texts!r}, expected a list of texts",
            hint='for a single one, write ["..."]',
        )
    return texts
