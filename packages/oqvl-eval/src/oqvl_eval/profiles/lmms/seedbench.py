"""SEED-Bench as lmms-eval scores it (75571cf).

Bug kept: the first character of any answer counts, so "Because" answers B.
"""

from __future__ import annotations


def read_letter(output: str) -> str:
    """Return the first character of an answer that is not white space; empty if there is none."""
    return output.strip()[:1]


def credit(output: str, gold: str) -> float:
    """Return 1 if the first character is the gold letter without regard to case, else 0."""
    return float(read_letter(output).lower().strip() == gold.lower().strip())
