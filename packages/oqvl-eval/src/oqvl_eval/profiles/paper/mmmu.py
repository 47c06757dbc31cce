"""MMMU as the harness of Open-Qwen2VL scores it (0d76f9f).

A letter is recognised as `A ` and `A.` too, which the ends of words match. The rest, with its bugs, is in
`oqvl_eval.profiles.mmmu_rules`.
"""

from __future__ import annotations

from collections.abc import Sequence

from oqvl_eval.profiles import mmmu_rules
from oqvl_eval.profiles.markers import Draw
from oqvl_eval.profiles.mmmu_rules import LOOSE_FORMS


def read_letter(output: str, options: Sequence[str]) -> str | Draw:
    """Read the letter of the chosen option, or return a Draw over all options."""
    return mmmu_rules.read_letter(output, options, LOOSE_FORMS)


def choice_credit(output: str, options: Sequence[str], gold: str | Sequence[str]) -> float:
    """Return the credit of an answer to a multiple-choice item; the expected one where a letter is drawn."""
    return mmmu_rules.choice_credit(output, options, gold, LOOSE_FORMS)


def open_credit(output: str, gold: str | Sequence[str]) -> float:
    """Return the credit of an answer to an open item."""
    return mmmu_rules.open_credit(output, gold)


def credit(output: str, options: Sequence[str] | None, gold: str | Sequence[str]) -> float:
    """Return the credit of an answer; `options` is None for an open item."""
    return open_credit(output, gold) if options is None else choice_credit(output, options, gold)
