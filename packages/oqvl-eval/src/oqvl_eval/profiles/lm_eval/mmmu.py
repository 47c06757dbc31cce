"""MMMU as lm-evaluation-harness scores it (4e7e0d4): the official rules for at most nine options.

The bugs of `oqvl_eval.profiles.mmmu_rules` are kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from oqvl_eval.profiles import mmmu_rules
from oqvl_eval.profiles.markers import Draw
from oqvl_eval.profiles.mmmu_rules import OFFICIAL_FORMS

_MAX_OPTIONS = 9


def read_letter(output: str, options: Sequence[str]) -> str | Draw:
    """Read the letter of the chosen option, or return a Draw over all options."""
    return mmmu_rules.read_letter(output, options[:_MAX_OPTIONS], OFFICIAL_FORMS)


def choice_credit(output: str, options: Sequence[str], gold: str | Sequence[str]) -> float:
    """Return the credit of an answer to a multiple-choice item; the expected one where a letter is drawn."""
    return mmmu_rules.choice_credit(output, options[:_MAX_OPTIONS], gold, OFFICIAL_FORMS)


def open_credit(output: str, gold: str | Sequence[str]) -> float:
    """Return the credit of an answer to an open item."""
    return mmmu_rules.open_credit(output, gold)


def credit(output: str, options: Sequence[str] | None, gold: str | Sequence[str]) -> float:
    """Return the credit of an answer; `options` is None for an open item."""
    return open_credit(output, gold) if options is None else choice_credit(output, options, gold)


def summarize(credits_by_subject: Mapping[str, Sequence[float]]) -> float:
    """Return the accuracy over all subjects, each weighted by its number of answers."""
    accuracies = {subject: sum(values) / len(values) for subject, values in credits_by_subject.items()}
    counts = {subject: len(values) for subject, values in credits_by_subject.items()}
    return mmmu_rules.mean_credit(accuracies, counts)
