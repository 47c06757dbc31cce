"""ScienceQA as LLaVA c121f04 scores it.

Bug kept: the period in the pattern of "The answer is B." matches any character and needs one: "The answer is B" at the
end of the answer is not read, and "The answer is Because" is read as B.
"""

from __future__ import annotations

import re

_LETTERS = ("A", "B", "C", "D", "E")


def read_letter(output: str) -> str | None:
    """Read the letter of an answer: alone, as `B. `, or stated exactly once as "The answer is B."."""
    if output in _LETTERS:
        return output
    if output[:1] in _LETTERS and output[1:3] == ". ":
        return output[0]
    stated = re.findall(r"The answer is ([A-Z]).", output)
    return stated[0] if len(stated) == 1 else None


def credit(output: str, num_options: int, gold: int) -> float:
    """Return 1 if the letter that was read is the right one, else 0.

    Args:
        output: The answer.
        num_options: How many options the item has; a letter beyond them is wrong.
        gold: The index of the right option.
    """
    letters = _LETTERS[:num_options]
    letter = read_letter(output)
    return float(letter in letters and letters.index(letter) == gold)
