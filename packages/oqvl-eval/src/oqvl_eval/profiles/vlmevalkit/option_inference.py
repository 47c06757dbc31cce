"""How VLMEvalKit (e8e78f0) infers the chosen option, in all multiple-choice benchmarks.

Bugs kept:

- A letter counts only among the last four words, judged by its first occurrence: "B it is, as the picture shows" is
  not read.
- "answer is" followed by a letter A to D counts even if the letter begins a word: "the answer is difficult" is read as
  D.
- The text of an option is searched inside words, so the option "art" is in "part"; it is not searched in an answer more
  than twice as long as all options together.
- A refusal is the letter Z, which no item has, and is never shown to a judge.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from oqvl_eval.profiles.markers import Credit, NeedsJudge

REFUSED = "Z"

_FAILED_REQUEST = "Failed to obtain answer via API"
_REFUSALS = (
    "Sorry, I can't help with images of people yet.",
    "I can't process this file.",
    "I'm sorry, but without the image provided",
    "Cannot determine the answer",
)
_MARKS = str.maketrans({mark: " " for mark in ".()[],:;!*#{}"})
_STATED = re.compile(r"answer\s+is\s+\**([ABCD])", re.IGNORECASE)
_NUM_LAST_WORDS = 4
_MAX_LENGTH_RATIO = 2


def infer_letter(output: str, options: Mapping[str, object]) -> str | None:
    """Infer the option from a letter; `Z` for a refusal, None if it is not clear.

    Args:
        output: The answer.
        options: The texts of the options the item has, by letter.
    """
    if _FAILED_REQUEST in output:
        return None
    if any(refusal in output for refusal in _REFUSALS):
        return REFUSED
    words = output.translate(_MARKS).split()
    named = [letter for letter in options if letter in words]
    if len(named) == 1 and words.index(named[0]) >= len(words) - _NUM_LAST_WORDS:
        return named[0]
    if not named and REFUSED in words:
        return REFUSED
    stated = _STATED.search(output)
    letter = stated.group(1).upper() if stated else None
    return letter if letter in options else None


def infer_text(output: str, options: Mapping[str, object]) -> str | None:
    """Infer the option whose text the answer contains; None unless it is exactly one."""
    text = output.lower()
    if len(text) > _MAX_LENGTH_RATIO * sum(len(str(option)) for option in options.values()):
        return None
    named = [letter for letter, option in options.items() if str(option).lower() in text]
    return named[0] if len(named) == 1 else None


def infer_option(output: object, options: Mapping[str, object]) -> str | None:
    """Infer the option an answer chooses, by letter, then by text; None if the rules do not tell."""
    text = str(output)
    return infer_letter(text, options) or infer_text(text, options)


def credit(output: object, options: Mapping[str, object], gold: str, has_judge: bool = False) -> Credit:
    """Return the credit of an answer.

    Args:
        output: The answer.
        options: The texts of the options the item has, by letter.
        gold: The right letter.
        has_judge: Whether a judge reads what the rules cannot; without one it is wrong.
    """
    letter = infer_option(output, options)
    if letter is None and has_judge:
        return NeedsJudge()
    return float((letter or REFUSED) == gold)
