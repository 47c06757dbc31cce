"""AI2D as lmms-eval scores it (75571cf).

Bugs kept:

- `A. text` at the beginning is read as A, in capitals only; any other answer must be the letter alone, so "(A)" is
  right and "A: text" is wrong.
- The letter is read before reasoning is removed, so an answer after a `</think>` must be the letter alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from oqvl_eval.profiles.lmms.exact_match import exact_match
from oqvl_eval.profiles.lmms.reasoning import strip_reasoning


def cut_letter(output: str) -> str:
    """Return the letter if the answer begins like `A.`, else the whole answer."""
    match = re.match(r"\s*([A-Z])\.", output)
    return match.group(1) if match else output


def credit(output: str, gold: str, reasoning_tags: Sequence[tuple[str, str]] = ()) -> float:
    """Return 1 if the letter or the whole answer equals the gold apart from case and punctuation, else 0.

    Args:
        output: The answer, with its reasoning.
        gold: The right letter.
        reasoning_tags: The tags of the reasoning to remove; the command line has `reasoning.DEFAULT_TAGS`.
    """
    answer = cut_letter(output)
    return exact_match(strip_reasoning(answer, reasoning_tags) if reasoning_tags else answer, gold)
