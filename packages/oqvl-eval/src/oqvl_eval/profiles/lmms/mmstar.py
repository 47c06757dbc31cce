"""MMStar as lmms-eval scores it (75571cf).

A letter is read as in `oqvl_eval.profiles.lmms.letter`, with its bugs. The score is the mean of the accuracies of the
sub-categories, not of the answers.
"""

from __future__ import annotations

from collections.abc import Iterable

from oqvl_eval.profiles.lmms.letter import read_letter
from oqvl_eval.profiles.rotation import mean_by


def credit(output: str, gold: str) -> float:
    """Return 1 if the letter that is read is the gold, else 0."""
    return float((read_letter(output) or "") == gold.strip().upper())


def summarize(results: Iterable[tuple[str, float]]) -> float:
    """Return the mean of the accuracies of the sub-categories.

    Args:
        results: The sub-category and the credit of every answer.
    """
    numbered = dict(enumerate(results))
    accuracies = mean_by(
        {number: value for number, (_, value) in numbered.items()},
        {number: subcategory for number, (subcategory, _) in numbered.items()},
    )
    return sum(accuracies.values()) / len(accuracies)
