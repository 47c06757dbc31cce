"""MTVQA as lmms-eval scores it (75571cf).

Bug kept: the average is over all answers, not over languages as the benchmark defines it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def credit(output: str, gold: object) -> float:
    """Return 1 if the answer contains the gold, periods and case aside, else 0."""
    return float(_prepare(gold) in _prepare(output))


def summarize(credits_by_language: Mapping[str, Sequence[float]]) -> float:
    """Return the mean over all answers in percent; 0 without answers."""
    credits = [value for values in credits_by_language.values() for value in values]
    return sum(credits) / len(credits) * 100 if credits else 0.0


def _prepare(text: object) -> str:
    return str(text).strip().lower().replace(".", "")
