"""POPE as lmms-eval scores it (75571cf).

Bugs kept:

- The answer must be "yes" or "no" and nothing else; "Yes." is neither.
- An answer that is neither does not count as missed, so recall and F1 are too high.
- The yes ratio is that of the golds, not of the answers.
"""

from __future__ import annotations

from collections.abc import Iterable

from oqvl_eval.profiles.yes_no_counts import YesNoCounts


def credit(output: str, gold: str) -> float:
    """Return 1 if the answer equals the gold apart from case and the white space around it, else 0."""
    return float(_prepare(output) == _prepare(gold))


def summarize(answers: Iterable[tuple[str, str]]) -> dict[str, float]:
    """Return accuracy, precision, recall, F1 and the yes ratio.

    Args:
        answers: The answer and the gold of every item, in one or several splits.
    """
    prepared = [(_prepare(output), _prepare(gold)) for output, gold in answers]
    counts = YesNoCounts.of((said == "yes", gold == "yes") for said, gold in prepared if said in ("yes", "no"))
    return {
        "accuracy": sum(said == gold for said, gold in prepared) / len(prepared),
        "precision": counts.precision(undefined=0.0),
        "recall": counts.recall(undefined=0.0),
        "f1": counts.f1(undefined=0.0),
        "yes_ratio": sum(gold == "yes" for _, gold in prepared) / len(prepared),
    }


def _prepare(text: str) -> str:
    return text.lower().strip()
