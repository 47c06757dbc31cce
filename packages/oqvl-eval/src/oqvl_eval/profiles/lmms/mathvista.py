"""MathVista as lmms-eval scores it (75571cf): the official rules with the differences below.

Bugs kept, in addition to those of `oqvl_eval.profiles.official.mathvista`:

- The data set stores the precision as a float, which Python's `round` refuses. Every float item therefore normalises to
  None and is wrong.
- The texts of the two sides are compared, so an extraction that has no value equals a gold "None".
- An accuracy of 0 is reported as missing.
"""

from __future__ import annotations

from collections.abc import Sequence

from oqvl_eval.profiles.markers import Credit, NeedsJudge
from oqvl_eval.profiles.official import mathvista as official


def extract(
    output: str, choices: Sequence[str] | None, question_type: str, answer_type: str, quick: bool = False
) -> str | NeedsJudge:
    """Strip an answer and extract what it says, or return NeedsJudge if the rules do not decide."""
    return official.extract(output.strip(), choices, question_type, answer_type, quick)


def normalize(
    extraction: str | float | None,
    choices: Sequence[str] | None,
    question_type: str,
    answer_type: str,
    precision: float | None,
) -> str | None:
    """Normalise an extraction to the type of the gold; None if it has no value of that type.

    Args:
        extraction: What was extracted.
        choices: The texts of the options; None for a free-form item.
        question_type: `multi_choice` or `free_form`.
        answer_type: `text`, `integer`, `float` or `list`.
        precision: How many decimals a float has. Only an int works; with None, the number is rounded to an integer.
    """
    if question_type != "multi_choice" and answer_type == "float":
        if precision is None:
            return _as_rounded_integer(extraction)
        return official.as_float(extraction, precision) if isinstance(precision, int) else None
    return official.normalize(extraction, choices, question_type, answer_type, None)


def is_right(normalized: object, gold: object) -> bool:
    """Return whether the texts of a normalised extraction and of the gold are equal."""
    return str(normalized).strip() == str(gold).strip()


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
    return float(
        gold is not None and is_right(normalize(extraction, choices, question_type, answer_type, precision), gold)
    )


def summarize(credits: Sequence[float]) -> float | None:
    """Return the accuracy in percent with two decimals; None if it is 0."""
    return round(sum(credits) / len(credits) * 100, 2) or None


def _as_rounded_integer(extraction: str | float | None) -> str | None:
    try:
        return None if extraction is None else str(round(float(extraction)))
    except (ValueError, OverflowError):
        return None
