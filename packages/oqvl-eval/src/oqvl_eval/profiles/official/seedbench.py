"""SEED-Bench by the option of lowest loss, and by the exact letter as LLaVA c121f04 scores it."""

from __future__ import annotations

from collections.abc import Sequence


def lowest_loss_letter(losses: Sequence[float]) -> str:
    """Return the letter of the option with the lowest loss; of equal ones, the first."""
    return chr(ord("A") + losses.index(min(losses)))


def credit(output: str, gold: str) -> float:
    """Return 1 if the answer is the letter and nothing else, else 0."""
    return float(output == gold)


def summarize(credits: Sequence[float]) -> float:
    """Return the accuracy in percent."""
    return sum(credits) / len(credits) * 100
