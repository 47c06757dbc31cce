"""GQA as VLMEvalKit scores it (e8e78f0): equality apart from case."""

from __future__ import annotations


def credit(output: str, gold: str) -> float:
    """Return 1 if the answer equals the gold apart from case and the white space around them, else 0."""
    return float(output.strip().lower() == gold.strip().lower())
