"""TextVQA, VQAv2, OK-VQA and VizWiz as lmms-eval scores them (75571cf).

Bugs kept, in addition to those of `oqvl_eval.profiles.vqa_answer`:

- VQAv2 leaves out all human answers that equal the one left out, entry by entry. Entries without an identifier of their
  own are equal if their texts are.
- VQAv2 does not set words apart, so commas and possessives are treated as punctuation there.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from oqvl_eval.profiles import vqa_answer


def normalize(answer: str) -> str:
    """Normalise an answer to TextVQA, OK-VQA or VizWiz."""
    return vqa_answer.normalize(answer)


def normalize_vqav2(answer: str) -> str:
    """Normalise an answer to VQAv2."""
    return vqa_answer.replace_words(vqa_answer.remove_punctuation(vqa_answer.join_lines(answer)))


def credit(output: str, human_answers: Sequence[str] | None) -> float:
    """Return the accuracy of an answer to TextVQA, OK-VQA or VizWiz; 0 without human answers."""
    if not human_answers:
        return 0.0
    normalized = [normalize(answer) for answer in human_answers]
    return float(statistics.mean(vqa_answer.leave_one_out(normalize(output), normalized)))


def vqav2_credit(output: str, entries: Sequence[Mapping[str, object]] | None) -> float:
    """Return the accuracy of an answer to VQAv2; 0 without human answers.

    Args:
        output: The answer.
        entries: The entries of the human answers: `answer`, and fields such as `answer_id` that tell them apart.
    """
    if not entries:
        return 0.0
    answer = normalize_vqav2(output)
    normalized = [{**entry, "answer": normalize_vqav2(str(entry["answer"]))} for entry in entries]
    accuracies = [
        min(1.0, sum(other["answer"] == answer for other in normalized if other != left_out) / 3)
        for left_out in normalized
    ]
    return float(statistics.mean(accuracies))
