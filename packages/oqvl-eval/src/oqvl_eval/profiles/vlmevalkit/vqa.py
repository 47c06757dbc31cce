"""TextVQA, and VQAv2, OK-VQA and VizWiz by the same rule, as VLMEvalKit scores them (e8e78f0).

Differences from `oqvl_eval.profiles.vqa_answer`, whose other bugs are kept:

- The mistyped pattern is repaired: a period is removed unless there is a digit on either side of it, so "3." keeps its
  period.
- Words are not set apart, so commas and possessives are treated as punctuation.
- A cell that does not hold a list is one human answer. As each is left out in turn, none is left, and the item scores
  0.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence

from oqvl_eval.profiles import vqa_answer
from oqvl_eval.profiles.vqa_answer import Dialect

DIALECT = Dialect(comma_in_number=r"\d,\d", period=r"(?<!\d)\.(?!\d)")


def parse_answers(cell: object) -> list[str]:
    """Return the human answers in a cell of the table: those of a list, or the cell itself."""
    if isinstance(cell, str):
        try:
            value = ast.literal_eval(cell.lstrip(" \t"))
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            return [cell]
        return value if isinstance(value, list) else [cell]
    return list(cell) if isinstance(cell, Sequence) else [str(cell)]


def normalize(answer: str) -> str:
    """Normalise an answer."""
    text = vqa_answer.remove_punctuation(vqa_answer.join_lines(answer), DIALECT)
    return vqa_answer.replace_words(text, DIALECT)


def credit(output: str, human_answers: Sequence[str]) -> float:
    """Return the mean of min(n / 3, 1) over the human answers, each left out once."""
    accuracies = vqa_answer.leave_one_out(normalize(output), [normalize(answer) for answer in human_answers])
    return sum(accuracies) / len(accuracies)
