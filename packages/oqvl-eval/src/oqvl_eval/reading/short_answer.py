"""The normal form in which the short answers that were read are compared with those that are expected."""

from __future__ import annotations

import re
import unicodedata

_OPENING = "\"'`*_([{\u201c\u2018"
_CLOSING = "\"'`*_.,;:!?)]}\u201d\u2019"


def normal_form(text: str) -> str:
    """Return the normal form of a short answer.

    1. Apply Unicode NFKC and fold the case.
    2. Remove thousands separators from numbers.
    3. Remove quotation marks and punctuation at both ends of words.
    4. Remove the articles a, an and the, unless nothing else would be left.
    5. Collapse white space.

    Example:
        >>> normal_form("The Eiffel Tower.")
        'eiffel tower'
    """
    # NFKC is applied again after case folding, which can undo it.
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    text = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text)
    words = [word.lstrip(_OPENING).rstrip(_CLOSING) for word in text.split()]
    return " ".join(word for word in words if word and word not in ("a", "an", "the")) or " ".join(filter(None, words))
