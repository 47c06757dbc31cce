"""RealWorldQA as lmms-eval scores it (75571cf).

If the gold is one of the letters A to D, a letter is read as in `oqvl_eval.profiles.lmms.letter`, with its bugs; any
other gold must be the whole answer.
"""

from __future__ import annotations

from oqvl_eval.profiles.lmms.letter import LETTERS, read_letter


def credit(output: str, gold: str) -> float:
    """Return 1 if the answer names the gold letter, or equals, ignoring case, a gold that is not a letter; else 0."""
    gold = gold.strip()
    if gold.upper() in LETTERS:
        return float(read_letter(output) == gold.upper())
    return float(output.lower().strip().rstrip(".") == gold.lower())
