"""What a step returns when a harness would not compute an answer: a random draw, or a question to a judge model."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True)
class Draw:
    """The harness picks one of several candidates at random.

    Args:
        num_candidates: How many candidates it draws from, all equally likely.
    """

    num_candidates: int

    def expected_credit(self, num_right: int = 1) -> float:
        """Return the probability that the draw picks one of `num_right` right candidates."""
        return num_right / self.num_candidates


@dataclass(frozen=True)
class NeedsJudge:
    """The harness asks a judge model, so the rules alone do not decide."""


Credit = float | NeedsJudge
"""The score of one answer between 0 and 1, or a marker that only a judge model can tell."""


def letter_credit(letter: str | Draw, gold: str | Collection[str], letters: Collection[str]) -> float:
    """Return the credit of a letter that was read or drawn.

    Args:
        letter: The letter that was read, or the draw in place of it.
        gold: The right letter, or several that are all right.
        letters: The letters a draw picks from.
    """
    golds = {gold} if isinstance(gold, str) else set(gold)
    if isinstance(letter, Draw):
        return letter.expected_credit(len(golds.intersection(letters)))
    return float(letter in golds)
