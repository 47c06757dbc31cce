"""GQA: the answer as LLaVA c121f04 prepares it must equal the gold."""

from __future__ import annotations


def prepare(output: str) -> str:
    """Remove the periods at the end of an answer and lower-case it."""
    return output.rstrip(".").lower()


def credit(output: str, gold: str) -> float:
    """Return 1 if the prepared answer equals the gold, else 0."""
    return float(prepare(output) == gold)
