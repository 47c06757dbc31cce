"""AI2D as the harness of Open-Qwen2VL scores it (0d76f9f): the letter with the highest probability."""

from __future__ import annotations

from collections.abc import Sequence


def most_likely(probabilities: Sequence[float]) -> int:
    """Return the index of the highest probability; of equal ones, the first."""
    return probabilities.index(max(probabilities))


def credit(probabilities: Sequence[float], gold: int) -> float:
    """Return 1 if the right option has the highest probability, else 0.

    Args:
        probabilities: The probabilities of the letters of the options.
        gold: The index of the right option.
    """
    return float(most_likely(probabilities) == gold)
