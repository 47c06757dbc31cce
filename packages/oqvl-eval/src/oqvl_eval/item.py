"""One item of a benchmark: interleaved text and pictures, options, the right answer."""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from oqvl_shards.errors import DataError

LETTERS: str = string.ascii_uppercase
"""The names of the options, in order; an item has at most as many options."""

YES_NO = ("yes", "no")
"""The options and answers of an item whose rule is `yes_no`."""

Rule = Literal["multiple_choice", "short_answer", "yes_no"]
"""How an answer is judged; see `oqvl_eval.scoring`."""


@dataclass(frozen=True)
class ImageRef:
    """Where a picture stands among an item's segments.

    Args:
        name: The picture's name: a key of the mapping that `write_benchmark` is given.
    """

    name: str


@dataclass(frozen=True)
class Item:
    """One question, as every benchmark is brought to.

    Args:
        item_id: Unique in its benchmark.
        cluster_id: Items of one cluster are not independent of each other (rotations of one question, several questions
            about one picture); use `item_id` where every item stands alone.
        segments: The question: text and pictures in the order in which a model is to see them.
        choices: The options without letters; empty for an open question, `YES_NO` for one of rule `yes_no`.
        answer: The letter of the right option (`A` is `choices[0]`), `yes` or `no`, or the expected short answer. An
            open question may list further accepted answers in `metadata["accepted_answers"]`.
        category: The item's row in the table of accuracies.
        rule: How answers are judged; None: `multiple_choice` where there are choices, `short_answer` elsewhere.
        shows_options: Whether the segments show the options already (in the text or in a picture).
        metadata: Anything else of the source; JSON values only.

    Raises:
        DataError: When the parts contradict each other (an answer that is no option's letter, an empty option).
    """

    item_id: str
    cluster_id: str
    segments: tuple[str | ImageRef, ...]
    choices: tuple[str, ...]
    answer: str
    category: str = ""
    rule: Rule | None = None
    shows_options: bool = False
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        where = f"item {self.item_id!r}"
        if not self.item_id or not self.cluster_id:
            raise DataError(f"{where} of cluster {self.cluster_id!r}: both names must be given")
        if len(self.choices) > len(LETTERS):
            raise DataError(f"{where} has {len(self.choices)} options, expected at most {len(LETTERS)}")
        if not all(choice.strip() for choice in self.choices):
            raise DataError(f"{where} has an empty option: {list(self.choices)}")
        if not self.answer.strip():
            raise DataError(f"{where} has no answer")
        if self.scoring_rule == "multiple_choice" and self.answer not in self.letters:
            raise DataError(
                f"{where} has the answer {self.answer!r}, expected one of {', '.join(self.letters) or '(no options)'}",
                hint="the answer of an item with options is its letter: A is the first option",
            )
        if self.scoring_rule == "yes_no" and (self.choices != YES_NO or self.answer not in YES_NO):
            raise DataError(f"{where} has the answer {self.answer!r} of {self.choices}, expected one of {YES_NO}")
        accepted = self.metadata.get("accepted_answers", ())
        if isinstance(accepted, str) or not all(isinstance(answer, str) for answer in accepted):
            raise DataError(f"{where}: metadata accepted_answers is {accepted!r}, expected a list of texts")

    @property
    def letters(self) -> tuple[str, ...]:
        """The letters of the options, in order."""
        return tuple(LETTERS[: len(self.choices)])

    @property
    def image_names(self) -> tuple[str, ...]:
        """The names of the pictures in the order of the segments; a picture shown twice is named twice."""
        return tuple(segment.name for segment in self.segments if isinstance(segment, ImageRef))

    @property
    def scoring_rule(self) -> Rule:
        """`rule`, or what follows from the choices."""
        return self.rule or ("multiple_choice" if self.choices else "short_answer")

    @property
    def lists_options(self) -> bool:
        """Whether a prompt has to list the options with their letters."""
        return self.scoring_rule == "multiple_choice" and not self.shows_options

    @property
    def option_names(self) -> tuple[str, ...]:
        """What an answer calls each option: its letter, or `yes` and `no`."""
        return self.choices if self.scoring_rule == "yes_no" else self.letters

    @property
    def accepted_answers(self) -> tuple[str, ...]:
        """Every answer that counts as right for an open question."""
        return (self.answer, *self.metadata.get("accepted_answers", ()))
