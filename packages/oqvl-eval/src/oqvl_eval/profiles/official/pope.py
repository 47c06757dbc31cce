"""POPE as its repository scores it (POPE 08d957b), and LLaVA c121f04 with it.

Bugs kept:

- An answer that does not say no means yes, even if it is empty or a refusal.
- Only "No", "no" and "not" say no. "NO", "Not" and "no!" mean yes, and so does "No" before a line break, because only
  spaces separate words.

The script stops with a division by zero where a figure is undefined; here it is NaN.
"""

from __future__ import annotations

from collections.abc import Iterable

from oqvl_eval.profiles.yes_no_counts import YesNoCounts

_WORDS_FOR_NO = frozenset({"No", "not", "no"})


def reads_yes(output: str) -> bool:
    """Return whether an answer means yes: no word before its first period says no."""
    first_sentence = output.partition(".")[0].replace(",", "")
    return _WORDS_FOR_NO.isdisjoint(first_sentence.split(" "))


def credit(output: str, gold: str) -> float:
    """Return 1 if the answer means what the gold says, else 0. Any gold but `no` is yes."""
    return float(reads_yes(output) == (gold != "no"))


def summarize(answers: Iterable[tuple[str, str]]) -> dict[str, float]:
    """Return accuracy, precision, recall, F1 and the share of yes answers of one split.

    Args:
        answers: The answer and the gold of every item of the split.
    """
    read = [(reads_yes(output), gold != "no") for output, gold in answers]
    counts = YesNoCounts.of(read)
    return {
        "accuracy": (counts.true_positives + counts.true_negatives) / len(read),
        "precision": counts.precision(),
        "recall": counts.recall(),
        "f1": counts.f1(),
        "yes_ratio": (counts.true_positives + counts.false_positives) / len(read),
    }
