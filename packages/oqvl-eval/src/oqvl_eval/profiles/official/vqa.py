"""TextVQA as the M4C evaluator in LLaVA c121f04 scores it, and VQAv2, OK-VQA and VizWiz by the same accuracy.

LLaVA normalises its answers to VQAv2 and VizWiz with the same code and leaves the comparison to the challenge server.
The bugs are those of the normalisation, `oqvl_eval.profiles.vqa_answer`.
"""

from __future__ import annotations

from collections.abc import Sequence

from oqvl_eval.profiles import vqa_answer


def normalize(answer: str) -> str:
    """Normalise an answer."""
    return vqa_answer.normalize(answer)


def credit(output: str, human_answers: Sequence[str]) -> float:
    """Return the M4C accuracy of an answer: the mean of min(n / 3, 1) over the human answers, each left out once.

    Args:
        output: The answer.
        human_answers: The answers of people; TextVQA has ten.
    """
    accuracies = vqa_answer.leave_one_out(normalize(output), [normalize(answer) for answer in human_answers])
    return sum(accuracies) / len(accuracies)
