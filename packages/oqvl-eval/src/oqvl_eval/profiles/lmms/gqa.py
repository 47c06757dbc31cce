"""GQA as lmms-eval scores it (75571cf): equality apart from case and punctuation."""

from __future__ import annotations

from oqvl_eval.profiles.lmms.exact_match import exact_match


def credit(output: str, gold: str) -> float:
    """Return 1 if the answer equals the gold apart from case and punctuation, else 0."""
    return exact_match(output, gold)
