"""MTVQA as its repository scores it (MTVQA efc6a78).

Bug kept: periods are removed from answers but not from golds, so a gold with a period, such as "3.5", is never found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def credit(output: str, gold: str | Sequence[str]) -> float:
    """Return 1 if the answer contains the gold, or any of several, without regard to case; else 0."""
    said = output.strip().lower().replace(".", "")
    golds = [gold] if isinstance(gold, str) else gold
    return float(any(text.strip().lower() in said for text in golds))


def summarize(credits_by_language: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Return the accuracy of every language and, as `Average`, the mean of these."""
    accuracies = {language: sum(values) / len(values) for language, values in credits_by_language.items()}
    return {**accuracies, "Average": sum(accuracies.values()) / len(accuracies)}
