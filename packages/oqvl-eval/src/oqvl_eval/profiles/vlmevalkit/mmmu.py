"""MMMU as VLMEvalKit scores it (e8e78f0).

Open items become multiple-choice items with two options: A is the gold text, B is "Other Answers".

Bugs kept, in addition to those of `oqvl_eval.profiles.vlmevalkit.option_inference`:

- An open answer is right if it contains the gold text, or names the letter A.
- An open item whose gold is one capital letter keeps it as its letter. Of these, only a gold A can be right by letter,
  and a gold B is right for "Other Answers".
"""

from __future__ import annotations

import string
from collections.abc import Mapping

from oqvl_eval.profiles.markers import Credit
from oqvl_eval.profiles.vlmevalkit import option_inference

_OTHER_ANSWERS = "Other Answers"


def restate_open(gold: str) -> tuple[dict[str, object], str]:
    """Return the options and the right letter that an open item with this gold is restated with."""
    letter = gold if gold in tuple(string.ascii_uppercase) else "A"
    return {"A": gold, "B": _OTHER_ANSWERS}, letter


def credit(output: str, options: Mapping[str, object] | None, gold: str, has_judge: bool = False) -> Credit:
    """Return the credit of an answer.

    Args:
        output: The answer.
        options: The texts of the options by letter; None for an open item.
        gold: The right letter, or the gold text of an open item.
        has_judge: Whether a judge reads what the rules cannot; without one it is wrong.
    """
    if options is None:
        options, gold = restate_open(gold)
    return option_inference.credit(output, options, gold, has_judge)
