"""POPE as the harness of Open-Qwen2VL scores it (0d76f9f): the mean F1 of the three splits.

Bug kept: the answer must be "yes" or "no" apart from case and commas, then periods, at its ends. Any other answer is
wrong and counts as no in F1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from oqvl_eval.profiles.yes_no_counts import YesNoCounts

SPLITS = ("adversarial", "popular", "random")


def prepare(output: str) -> str:
    """Remove the commas, then the periods, at the ends of an answer, and lower-case it."""
    return output.strip(",").strip(".").lower()


def credit(output: str, gold: str) -> float:
    """Return 1 if the prepared answer equals the gold, else 0."""
    return float(prepare(output) == gold)


def split_figures(answers: Sequence[tuple[str, str]]) -> dict[str, float]:
    """Return accuracy and F1 of one split.

    Args:
        answers: The answer and the gold of every item of the split.
    """
    prepared = [(prepare(output), gold) for output, gold in answers]
    counts = YesNoCounts.of((said == "yes", gold == "yes") for said, gold in prepared)
    return {
        "accuracy": sum(said == gold for said, gold in prepared) / len(prepared),
        "f1": counts.f1(undefined=0.0),
    }


def summarize(answers_by_split: Mapping[str, Sequence[tuple[str, str]]]) -> dict[str, float]:
    """Return the means of accuracy and F1 over the three splits."""
    figures = [split_figures(answers_by_split[split]) for split in SPLITS]
    return {name: sum(split[name] for split in figures) / len(figures) for name in ("accuracy", "f1")}
