"""The tokens of a text for VCR."""

from __future__ import annotations

import re

_WORD_OR_MARK = re.compile(r"\w+|[^\w\s]")

NOTE = (
    "texts are cut into words and punctuation marks; the harness cuts them with the small spaCy model of the language"
)
"""What a profile that uses these tokens in place of spaCy's must say."""


def words(text: str) -> list[str]:
    """Return the words and punctuation marks of a text.

    Example:
        >>> words("Stop, please!")
        ['Stop', ',', 'please', '!']
    """
    return _WORD_OR_MARK.findall(text)
