"""MMBench by exact matching: CircularEval with the option inference of VLMEvalKit e8e78f0, without a judge.

MMBench has no other scoring script: its organisers maintain VLMEvalKit. See `oqvl_eval.profiles.vlmevalkit` for the
rules and their bugs. An answer that the rules cannot read is wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from oqvl_eval.profiles.rotation import Rotation, by_question
from oqvl_eval.profiles.vlmevalkit import mmbench, option_inference


def infer_option(output: str, options: Mapping[str, object]) -> str | None:
    """Infer the option an answer chooses; `Z` for a refusal, None if the rules do not tell."""
    return option_inference.infer_option(output, options)


def credit(output: str, options: Mapping[str, object], gold: str) -> float:
    """Return the credit of an answer to one row, rotations aside."""
    return float(infer_option(output, options) == gold)


def question_credit(rotations: Sequence[Rotation]) -> float:
    """Return the credit of one question: 1 if the answers to all its rotations are right."""
    value = mmbench.question_credit(rotations, has_judge=False)
    return value if isinstance(value, float) else 0.0


def circular_credits(rotations: Iterable[Rotation]) -> dict[int, float]:
    """Return the credit of every question by the index of its unrotated row."""
    return {question: question_credit(group) for question, group in by_question(rotations).items()}
