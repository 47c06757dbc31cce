"""MathVista as its repository scores it (MathVista 53d5258).

An answer is extracted, normalised by the type of the gold, and compared. A judge model extracts what
the rules cannot.

Bugs kept:

- A multiple-choice extraction that is no letter becomes the option with the smallest Levenshtein distance, however
  unlike it is. An empty one becomes the shortest option.
- Any letter in brackets decides, so "f(x) is 3" is read as X, which no item has: its nearest option is taken.
- A number must be the whole extraction: "3 cm" is not a number and wrong.
- The comparison is exact, so "5.0" is not "5.00".
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from oqvl_eval.profiles.markers import Credit, NeedsJudge


def extract(
    output: str, choices: Sequence[str] | None, question_type: str, answer_type: str, quick: bool = False
) -> str | NeedsJudge:
    """Extract what an answer says, or return NeedsJudge if the rules do not decide.

    Args:
        output: The answer.
        choices: The texts of the options; None for a free-form item.
        question_type: `multi_choice` or `free_form`.
        answer_type: `text`, `integer`, `float` or `list`.
        quick: Whether to read `The answer is "..."." before the judge is asked.
    """
    if not output or (question_type == "multi_choice" and output in (choices or ())):
        return output
    number_type = {"integer": int, "float": float}.get(answer_type)
    if number_type is not None:
        try:
            return str(number_type(output))
        except ValueError:
            pass
    quoted = re.search(r'The answer is "(.*)"\.', output) if quick else None
    return quoted.group(1) if quoted else NeedsJudge()


def nearest_choice(text: str, choices: Sequence[str]) -> str:
    """Return the option with the smallest Levenshtein distance to a text; of equally near ones, the first."""
    return min(choices, key=lambda choice: levenshtein(text, choice))


def levenshtein(first: str, second: str) -> int:
    """Return how many characters must be inserted, deleted or replaced to turn one text into the other."""
    previous = list(range(len(second) + 1))
    for row, character in enumerate(first, start=1):
        current = [row]
        for column, other in enumerate(second, start=1):
            substituted = previous[column - 1] + (character != other)
            current.append(min(substituted, previous[column] + 1, current[-1] + 1))
        previous = current
    return previous[-1]


def chosen_text(extraction: object, choices: Sequence[str]) -> str:
    """Return the text of the option that a multiple-choice extraction stands for, by its letter or by distance."""
    text = str(extraction).strip()
    bracketed = re.search(r"\(([a-zA-Z])\)", text)
    if bracketed:
        text = bracketed.group(1).upper()
    letters = [chr(ord("A") + index) for index in range(len(choices))]
    return choices[letters.index(text)] if text in letters else nearest_choice(text, choices)


def normalize(
    extraction: str | float | None,
    choices: Sequence[str] | None,
    question_type: str,
    answer_type: str,
    precision: float | None,
    ignore_empty: bool = False,
) -> str | None:
    """Normalise an extraction to the type of the gold; None if it has no value of that type.

    Args:
        extraction: What was extracted.
        choices: The texts of the options; None for a free-form item.
        question_type: `multi_choice` or `free_form`.
        answer_type: `text`, `integer`, `float` or `list`.
        precision: How many decimals a float has.
        ignore_empty: Whether an empty multiple-choice extraction stays undecided, an option of the script.
    """
    if question_type == "multi_choice":
        if ignore_empty and not str(extraction).strip():
            return None
        return chosen_text(extraction, choices or ())
    if answer_type == "integer":
        return as_integer(extraction)
    if answer_type == "float":
        return None if precision is None else as_float(extraction, precision)
    return str(extraction)


def as_integer(extraction: str | float | None) -> str | None:
    """Return the text of a number without its decimals; None if it is not a finite number."""
    try:
        return None if extraction is None else str(int(float(extraction)))
    except (ValueError, OverflowError):
        return None


def as_float(extraction: str | float | None, precision: float) -> str | None:
    """Return the text of a number rounded to `precision` decimals; None if it is not a number."""
    try:
        return None if extraction is None else str(round(float(extraction), int(precision)))
    except (ValueError, OverflowError):
        return None


def is_right(normalized: object, gold: object) -> bool:
    """Return whether a normalised extraction equals the gold exactly."""
    return normalized == gold


def credit(
    output: str,
    choices: Sequence[str] | None,
    question_type: str,
    answer_type: str,
    precision: float | None,
    gold: object,
) -> Credit:
    """Return the credit of an answer, or NeedsJudge if the rules do not extract anything from it."""
    extraction = extract(output, choices, question_type, answer_type)
    if isinstance(extraction, NeedsJudge):
        return extraction
    return float(is_right(normalize(extraction, choices, question_type, answer_type, precision), gold))
