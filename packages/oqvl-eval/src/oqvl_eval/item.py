"""One item of a benchmark: interleaved text and pictures, the options, and the right answer."""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from oqvl_shards.errors import DataError

LETTERS: str = string.ascii_uppercase
"""The letters of the options, in order. An item has at most this many options."""

YES_NO = ("yes", "no")
"""The options of an item with the rule `yes_no`."""

Rule = Literal["multiple_choice", "short_answer", "yes_no"]
"""How an answer is judged; see `oqvl_eval.scoring`."""


@dataclass(frozen=True)
class ImageRef:
    """A picture among the segments of an item.

    Args:
        name: The picture's name: a key of the mapping of pictures that is passed to `write_benchmark`.
    """

    name: str


@dataclass(frozen=True)
class Item:
    """One question of a benchmark.

    Args:
        item_id: The item's id, unique in its benchmark.
        cluster_id: The id of the item's cluster. The items of a cluster are not independent of each other: rotations of
            one question, several questions about one picture. Use `item_id` if the item is independent of all others.
        segments: The question: text and pictures in the order in which a model sees them.
        choices: The options without letters. Empty for an open question, and `YES_NO` for the rule `yes_no`.
        answer: The letter of the right option (`A` is `choices[0]`), `yes` or `no`, or the expected short answer. An
            open question may have further accepted answers in `metadata["accepted_answers"]`.
        category: The row of the accuracy table that the item counts in.
        rule: How answers are judged. None means `multiple_choice` if there are choices, and `short_answer` if not.
        shows_options: Whether the segments already show the options, in the text or in a picture.
        metadata: Anything else from the source, as JSON values.

    Raises:
        DataError: If the fields contradict each other, e.g. if `answer` is not the letter of an option.
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
        """Check that the fields do not contradict each other."""
        where = f"item {self.item_id!r}"
        if not self.item_id or not self.cluster_id:
            raise DataError(
                f"{where} of cluster {self.cluster_id!r}: both ids must be non-empty",
                hint="an item that is independent of all others has its item_id as cluster_id",
            )
        if len(self.choices) > len(LETTERS):
            raise DataError(
                f"{where} has {len(self.choices)} options, expected at most {len(LETTERS)}",
                hint="an option needs a letter of its own",
            )
        if not all(choice.strip() for choice in self.choices):
            raise DataError(f"{where} has an empty option: {list(self.choices)}", hint="leave out options without text")
        if not self.answer.strip():
            raise DataError(f"{where} has no answer", hint="an item without a right answer cannot be scored")
        if self.scoring_rule == "multiple_choice" and self.answer not in self.letters:
            raise DataError(
                f"{where} has the answer {self.answer!r}, expected one of {', '.join(self.letters) or '(no options)'}",
                hint="the answer of an item with options is its letter: A is the first option",
            )
        if self.scoring_rule == "yes_no" and (self.choices != YES_NO or self.answer not in YES_NO):
            raise DataError(
                f"{where} has the answer {self.answer!r} and the choices {self.choices}, expected one of {YES_NO} and "
                "the choices YES_NO",
                hint="these are the only choices and answers of an item with rule yes_no",
            )
        accepted = self.metadata.get("accepted_answers", ())
        if isinstance(accepted, str) or not all(isinstance(answer, str) for answer in accepted):
            raise DataError(
                f"{where}: accepted_answers in metadata is {accepted!r}, expected a list of texts",
                hint='for a single answer, write ["..."]',
            )

    @property
    def letters(self) -> tuple[str, ...]:
        """The letters of the options, in order."""
        return tuple(LETTERS[: len(self.choices)])

    @property
    def image_names(self) -> tuple[str, ...]:
        """The names of the pictures in the order of the segments. A picture that is shown twice is named twice."""
        return tuple(segment.name for segment in self.segments if isinstance(segment, ImageRef))

    @property
    def scoring_rule(self) -> Rule:
        """The rule that answers are judged by: `rule`, or what follows from the choices."""
        return self.rule or ("multiple_choice" if self.choices else "short_answer")

    @property
    def lists_options(self) -> bool:
        """Whether a prompt must list the options with their letters."""
        return self.scoring_rule == "multiple_choice" and not self.shows_options

    @property
    def option_names(self) -> tuple[str, ...]:
        """What an answer calls each option: its letter, or `yes` and `no`."""
        return self.choices if self.scoring_rule == "yes_no" else self.letters

    @property
    def accepted_answers(self) -> tuple[str, ...]:
        """Every answer that counts as right for an open question."""
        return (self.answer, *self.metadata.get("accepted_answers", ()))
