"""GQA as the harness of Open-Qwen2VL scores it (0d76f9f).

Bug kept: the answer loses all punctuation, the gold none, so a gold with a hyphen is never right.
"""

from __future__ import annotations

import string

from oqvl_eval.profiles.paper.answer_text import stored_answer

_PUNCTUATION = str.maketrans("", "", string.punctuation)


def prepare(output: str) -> str:
    """Remove ASCII punctuation from the stored answer and lower-case it."""
    return stored_answer(output).translate(_PUNCTUATION).lower()


def credit(output: str, gold: str) -> float:
    """Return 1 if the prepared answer equals the gold, else 0."""
    return float(prepare(output) == gold)
