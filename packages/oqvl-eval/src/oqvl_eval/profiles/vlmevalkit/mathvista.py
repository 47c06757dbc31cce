"""MathVista as VLMEvalKit scores it (e8e78f0), which cannot run without a judge model.

A first pass accepts what the rules read; the judge gets the rest, and its extraction is then compared.

Bugs kept:

- A right zero is sent to the judge, because the first pass returns the number it read and 0 counts as nothing read.
- A list is never compared: the extraction is replaced by the text "None".
- A multiple-choice letter that the rules read is accepted even if it is wrong, a number only if it is right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from oqvl_eval.profiles.markers import Credit, NeedsJudge
from oqvl_eval.profiles.vlmevalkit.option_inference import infer_option

_NUMBER_TYPES: Mapping[str, type[int] | type[float]] = {"integer": int, "float": float}


def read_number(text: str | float, answer_type: str) -> float | None:
    """Read a text as an integer or a float, as `answer_type` says; None if it is not one or another type is asked."""
    number_type = _NUMBER_TYPES.get(answer_type)
    try:
        return None if number_type is None else number_type(text)
    except ValueError:
        return None


def is_right(
    extraction: str | float, choices: Sequence[object] | None, question_type: str, answer_type: str, gold: str | float
) -> bool:
    """Return whether an extraction is right.

    Args:
        extraction: What the judge extracted, or what the first pass read.
        choices: The texts of the options; None for a free-form item.
        question_type: `multi_choice` or `free_form`.
        answer_type: `text`, `integer`, `float` or `list`.
        gold: The right letter of a multiple-choice item, else the gold answer.
    """
    if question_type == "multi_choice":
        return infer_option(extraction, _by_letter(choices or ())) == gold
    if answer_type not in _NUMBER_TYPES:
        return str(gold) == "None"
    said = read_number(extraction, answer_type)
    return said is not None and said == read_number(gold, answer_type)


def first_pass(
    output: str, choices: Sequence[object] | None, question_type: str, answer_type: str, gold: str | float
) -> str | float | NeedsJudge:
    """Return what the rules accept without the judge: a letter, or a number that is right and not 0."""
    if question_type == "multi_choice":
        return infer_option(output, _by_letter(choices or ())) or NeedsJudge()
    if not is_right(output, choices, question_type, answer_type, gold):
        return NeedsJudge()
    return "None" if answer_type not in _NUMBER_TYPES else read_number(output, answer_type) or NeedsJudge()


def credit(
    output: str, choices: Sequence[object] | None, question_type: str, answer_type: str, gold: str | float
) -> Credit:
    """Return the credit of an answer, or NeedsJudge if the first pass does not accept it."""
    extraction = first_pass(output, choices, question_type, answer_type, gold)
    if isinstance(extraction, NeedsJudge):
        return extraction
    return float(is_right(extraction, choices, question_type, answer_type, gold))


def _by_letter(choices: Sequence[object]) -> dict[str, object]:
    return {chr(ord("A") + index): choice for index, choice in enumerate(choices)}
