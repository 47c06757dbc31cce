"""MMMU as lmms-eval scores it (75571cf).

Bugs kept, in addition to those of `oqvl_eval.profiles.mmmu_rules`:

- A letter is recognised as `A ` and `A.` too, which the ends of words match.
- Of everything an open answer may say, one entry is kept, and it is compared character by character. A single
  character never holds a gold text, so every open item is wrong, unless a gold is empty. The entry that is kept is the
  first of a set, whose order changes from run to run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from oqvl_eval.profiles import mmmu_rules
from oqvl_eval.profiles.markers import Draw
from oqvl_eval.profiles.mmmu_rules import LOOSE_FORMS

_NUM_DECIMALS = 5


def read_letter(output: str, options: Sequence[str]) -> str | Draw:
    """Read the letter of the chosen option, or return a Draw over all options."""
    return mmmu_rules.read_letter(output, options, LOOSE_FORMS)


def choice_credit(output: str, options: Sequence[str], gold: str | Sequence[str]) -> float:
    """Return the credit of an answer to a multiple-choice item; the expected one where a letter is drawn."""
    return mmmu_rules.choice_credit(output, options, gold, LOOSE_FORMS)


def kept_open_answer(output: str) -> str | Draw:
    """Return the one entry of a parsed open answer that is kept, as text; a Draw if there are several."""
    parsed = mmmu_rules.parse_open(output)
    return str(parsed[0]) if len(parsed) == 1 else Draw(len(parsed))


def open_credit(output: str, gold: str | Sequence[str]) -> float:
    """Return the credit of an answer to an open item: 0 unless a gold is empty and the answer is not."""
    golds = [gold] if isinstance(gold, str) else gold
    return float(any(not text.strip() for text in golds) and kept_open_answer(output) != "")


def credit(output: str, options: Sequence[str] | None, gold: str | Sequence[str]) -> float:
    """Return the credit of an answer; `options` is None for an open item."""
    return open_credit(output, gold) if options is None else choice_credit(output, options, gold)


def subject_of(item_id: str) -> str:
    """Return the subject in an identifier such as `validation_Art_Theory_3`.

    Raises:
        ValueError: If the identifier is not of that form.
    """
    match = re.fullmatch(r"[^_]*_(.+?)_\d+\n?", item_id)
    if match is None:
        raise ValueError(f"{item_id!r} is not of the form split_Subject_number")
    return match.group(1)


def summarize(credits_by_subject: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Return the accuracies of domains, subjects and overall, with five decimals."""
    return dict(mmmu_rules.summarize(credits_by_subject, _NUM_DECIMALS))
