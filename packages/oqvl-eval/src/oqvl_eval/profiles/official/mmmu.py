"""MMMU as its repository scores it (MMMU bb0b95a).

A letter is recognised as `(A)` or as ` A ` between spaces; the rest is in `oqvl_eval.profiles.mmmu_rules`, with the
bugs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from oqvl_eval.profiles import mmmu_rules
from oqvl_eval.profiles.markers import Draw
from oqvl_eval.profiles.mmmu_rules import OFFICIAL_FORMS

_NUM_DECIMALS = 3


def read_letter(output: str, options: Sequence[str]) -> str | Draw:
    """Read the letter of the chosen option, or return a Draw over all options."""
    return mmmu_rules.read_letter(output, options, OFFICIAL_FORMS)


def choice_credit(output: str, options: Sequence[str], gold: str | Sequence[str]) -> float:
    """Return the credit of an answer to a multiple-choice item; the expected one where a letter is drawn."""
    return mmmu_rules.choice_credit(output, options, gold, OFFICIAL_FORMS)


def open_credit(output: str, gold: str | Sequence[str]) -> float:
    """Return the credit of an answer to an open item."""
    return mmmu_rules.open_credit(output, gold)


def credit(output: str, options: Sequence[str] | None, gold: str | Sequence[str]) -> float:
    """Return the credit of an answer; `options` is None for an open item."""
    return open_credit(output, gold) if options is None else choice_credit(output, options, gold)


def subject_of(item_id: str) -> str:
    """Return the subject in an identifier such as `validation_Art_Theory_3`."""
    return "_".join(item_id.split("_")[1:-1])


def summarize(credits_by_subject: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Return the accuracies of domains, subjects and overall, with three decimals.

    Subjects that are not among the thirty of MMMU are ignored.
    """
    known = {subject for subjects in mmmu_rules.DOMAINS.values() for subject in subjects}
    counted = {subject: values for subject, values in credits_by_subject.items() if subject in known}
    return dict(mmmu_rules.summarize(counted, _NUM_DECIMALS))
