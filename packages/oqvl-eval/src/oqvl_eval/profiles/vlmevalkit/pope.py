"""POPE as VLMEvalKit scores it (e8e78f0).

Bugs kept:

- An answer that has both words or neither is unknown, which the figures count as no.
- An item that is in several splits counts once per split in the overall figures.
- The overall score is F1, in percent.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from oqvl_eval.profiles.markers import Credit, NeedsJudge
from oqvl_eval.profiles.vlmevalkit.vqa import DIALECT
from oqvl_eval.profiles.vqa_answer import remove_punctuation
from oqvl_eval.profiles.yes_no_counts import YesNoCounts

OVERALL = "Overall"


def read_yes_no(output: str) -> str | None:
    """Return `Yes` or `No` if the answer has that word and not the other, else None."""
    words = remove_punctuation(output.lower(), DIALECT).split()
    said = [word for word in ("yes", "no") if word in words]
    return said[0].capitalize() if len(said) == 1 else None


def credit(output: str, gold: str, has_judge: bool = False) -> Credit:
    """Return the credit of an answer.

    Args:
        output: The answer.
        gold: `Yes` or `No`.
        has_judge: Whether a judge reads what the rules cannot; without one it is wrong.
    """
    said = read_yes_no(output)
    if said is None and has_judge:
        return NeedsJudge()
    return float(said == gold)


def summarize(answers: Iterable[tuple[str, str, str]]) -> dict[str, dict[str, float]]:
    """Return F1, accuracy, precision and recall in percent, overall and per split, without a judge.

    Args:
        answers: The answer, the gold and the splits, separated by commas, of every item.
    """
    splits: dict[str, list[tuple[str | None, str]]] = {OVERALL: []}
    for output, gold, names in answers:
        for name in names.split(","):
            said = (read_yes_no(output), gold)
            splits[OVERALL].append(said)
            splits.setdefault(name, []).append(said)
    return {name: _figures(pairs) for name, pairs in splits.items()}


def _figures(pairs: Sequence[tuple[str | None, str]]) -> dict[str, float]:
    counts = YesNoCounts.of((said == "Yes", gold == "Yes") for said, gold in pairs)
    return {
        "f1": counts.f1(undefined=0.0) * 100,
        "accuracy": sum(said == gold for said, gold in pairs) / len(pairs) * 100,
        "precision": counts.precision(undefined=0.0) * 100,
        "recall": counts.recall(undefined=0.0) * 100,
    }
