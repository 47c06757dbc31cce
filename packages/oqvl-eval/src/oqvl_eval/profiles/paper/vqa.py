"""TextVQA, VQAv2, OK-VQA and VizWiz as the harness of Open-Qwen2VL scores them (0d76f9f).

Bugs kept, in addition to those of `oqvl_eval.profiles.vqa_answer` and `oqvl_eval.profiles.paper.answer_text`:

- In VQAv2 and OK-VQA, human answers lose their punctuation only. Those in capitals, with articles or with number words
  never match the answer, which is fully normalised.
- In VQAv2 and OK-VQA, entries that equal the one left out are left out too.
- In VizWiz, human answers are not normalised at all, and most contractions get a backtick for an apostrophe.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from oqvl_eval.profiles import vqa_answer
from oqvl_eval.profiles.paper.answer_text import stored_answer
from oqvl_eval.profiles.vqa_answer import VQA_CHALLENGE, Dialect

_NUM_DECIMALS = 2
_APOSTROPHE_KEPT = frozenset("aint arent cant couldve couldnt weve wheres whove".split())
_APOSTROPHE_SOUGHT = frozenset({"couldn'tve", "hadn'tve"})


def backtick_contractions() -> dict[str, str]:
    """Return the contractions of VizWiz: as elsewhere, but with a backtick for the apostrophe in most."""
    return {
        word if word in _APOSTROPHE_SOUGHT else word.replace("'", "`"): (
            contraction if word in _APOSTROPHE_KEPT else contraction.replace("'", "`")
        )
        for word, contraction in vqa_answer.contractions().items()
    }


VIZWIZ = Dialect(comma_in_number=VQA_CHALLENGE.comma_in_number, contractions=backtick_contractions())


def normalize(answer: str, dialect: Dialect = VQA_CHALLENGE) -> str:
    """Normalise an answer that was stored, for VQAv2 and OK-VQA, or for VizWiz in its dialect."""
    text = vqa_answer.remove_punctuation(vqa_answer.join_lines(answer), dialect)
    return vqa_answer.replace_words(text, dialect)


def textvqa_credit(output: str, human_answers: Sequence[str]) -> float:
    """Return the M4C accuracy of an answer to TextVQA."""
    normalized = [vqa_answer.normalize(answer) for answer in human_answers]
    return _mean(vqa_answer.leave_one_out(vqa_answer.normalize(stored_answer(output)), normalized))


def credit(output: str, entries: Sequence[Mapping[str, object]]) -> float:
    """Return the accuracy of an answer to VQAv2 or OK-VQA.

    Args:
        output: The answer.
        entries: The entries of the human answers: `answer`, and fields such as `answer_id` that tell them apart.
    """
    answer = normalize(stored_answer(output))
    stripped = [
        {**entry, "answer": vqa_answer.remove_punctuation(str(entry["answer"]), VQA_CHALLENGE)} for entry in entries
    ]
    return _mean(
        [
            min(1.0, sum(other["answer"] == answer for other in stripped if other != left_out) / 3)
            for left_out in stripped
        ]
    )


def vizwiz_credit(output: str, human_answers: Sequence[str]) -> float:
    """Return the accuracy of an answer to VizWiz."""
    return _mean(vqa_answer.leave_one_out(normalize(stored_answer(output), VIZWIZ), human_answers))


def summarize(credits: Sequence[float]) -> float:
    """Return the accuracy over all answers to VQAv2 or OK-VQA in percent, with two decimals."""
    return round(100 * _mean(credits), _NUM_DECIMALS)


def vizwiz_summarize(credits: Sequence[float]) -> float:
    """Return the accuracy over all answers to VizWiz in percent; the order of operations decides some roundings."""
    return round(100 * sum(credits) / len(credits), _NUM_DECIMALS)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
