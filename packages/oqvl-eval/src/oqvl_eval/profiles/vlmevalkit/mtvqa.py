"""MTVQA as VLMEvalKit scores it (e8e78f0).

Bug kept: the average is over all answers, not over languages as the benchmark defines it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def credit(output: object, gold: object) -> float:
    """Return 1 if the answer contains the gold, periods and case aside, else 0."""
    return float(_prepare(gold) in _prepare(output))


def summarize(credits_by_language: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Return the accuracy in percent of every language and, as `Average`, of all answers."""
    groups = {**credits_by_language, "Average": [value for values in credits_by_language.values() for value in values]}
    return {language: sum(values) / len(values) * 100 for language, values in groups.items()}


def _prepare(text: object) -> str:
    return str(text).strip().lower().replace(".", "")
