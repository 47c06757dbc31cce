"""MathVista as the harness of Open-Qwen2VL scores it (0d76f9f).

Bugs kept:

- The harness records the answer type where the question type belongs. No item therefore counts as multiple choice, and
  all of them are scored as open answers of MMMU. The gold of a multiple-choice item is its letter, which must be
  the whole answer or next to a space inside it.
- Precision and unit are ignored: numbers are compared with two decimals.

The rest, with its bugs, is in `oqvl_eval.profiles.mmmu_rules`.
"""

from __future__ import annotations

from collections.abc import Sequence

from oqvl_eval.profiles import mmmu_rules
from oqvl_eval.profiles.markers import Draw
from oqvl_eval.profiles.mmmu_rules import LOOSE_FORMS


def read_letter(output: str, options: Sequence[str]) -> str | Draw:
    """Read the letter of the chosen option, or return a Draw; the harness has this step but never gets to it."""
    return mmmu_rules.read_letter(output, options, LOOSE_FORMS)


def credit(output: str, gold: str | Sequence[str]) -> float:
    """Return the credit of an answer.

    Args:
        output: The answer.
        gold: The right letter of a multiple-choice item, else the gold answer.
    """
    return mmmu_rules.open_credit(output, gold)
