"""MMBench as VLMEvalKit scores it (e8e78f0): CircularEval over the option inference.

The bugs of `oqvl_eval.profiles.vlmevalkit.option_inference` are kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from oqvl_eval.profiles.markers import Credit
from oqvl_eval.profiles.rotation import Rotation, all_right, by_question
from oqvl_eval.profiles.vlmevalkit import option_inference


def question_credit(rotations: Sequence[Rotation], has_judge: bool = False) -> Credit:
    """Return the credit of one question: 1 if the answers to all its rotations are right.

    Args:
        rotations: The answers to the rotations of the question.
        has_judge: Whether a judge reads what the rules cannot; without one the question is wrong.
    """
    letters = [option_inference.infer_option(rotation.output, rotation.options) for rotation in rotations]
    return all_right(letters, [rotation.gold for rotation in rotations], has_judge)


def circular_credits(rotations: Iterable[Rotation], has_judge: bool = False) -> dict[int, Credit]:
    """Return the credit of every question by the index of its unrotated row."""
    return {question: question_credit(group, has_judge) for question, group in by_question(rotations).items()}
