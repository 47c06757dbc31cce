"""The exact match of lmms-eval (75571cf) that ignores case and ASCII punctuation, for AI2D and GQA.

Bug kept: the texts are compared as fixed-width arrays, so a character that becomes longer in lower case cuts off the
end of its text, and null characters at the end are ignored.
"""

from __future__ import annotations

import string

_PUNCTUATION = str.maketrans("", "", string.punctuation)


def prepare(text: str) -> str:
    """Lower-case a text within its width and remove its ASCII punctuation."""
    return text.rstrip("\0").lower()[: len(text)].translate(_PUNCTUATION).rstrip("\0")


def exact_match(output: str, gold: str) -> float:
    """Return 1 if the answer, without the white space around it, equals the gold in prepared form, else 0."""
    return float(prepare(output.strip()) == prepare(gold))
