"""MMBench, SEED-Bench, MMStar and Mantis-Eval as the harness of Open-Qwen2VL scores them (0d76f9f).

Bugs kept:

- The gold letter may be anywhere in the answer, and in MMBench and SEED-Bench in lower case, so almost any sentence
  answers A.
- An answer that lists all options is right.
- MMBench counts every rotation as an item of its own.
"""

from __future__ import annotations

from collections.abc import Sequence


def credit(output: str, gold: str) -> float:
    """Return 1 if the answer contains the gold without regard to case, else 0: MMBench and SEED-Bench."""
    return float(gold.lower() in output.lower())


def exact_case_credit(output: str, gold: str) -> float:
    """Return 1 if the answer contains the gold, else 0: MMStar."""
    return float(gold in output)


def mantis_credit(output: str, gold: str | Sequence[str]) -> float:
    """Return 1 if the answer contains the gold or is one of several, else 0: Mantis-Eval."""
    return exact_case_credit(output, gold) if isinstance(gold, str) else float(output in gold)
