"""The profile `strict`: the readers of `oqvl_eval.reading`, which never guess. Only what was read can be right."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from oqvl_eval.item import Item
from oqvl_eval.profiles.ngram_match import NgramMatch, score_covered_text
from oqvl_eval.profiles.vqa_answer import leave_one_out
from oqvl_eval.reading.choice import read_choice
from oqvl_eval.reading.number import read_number
from oqvl_eval.reading.reading import Reading
from oqvl_eval.reading.reasoning import split_reasoning
from oqvl_eval.reading.short_answer import normal_form
from oqvl_eval.reading.text import read_text
from oqvl_eval.reading.yes_no import read_yes_no
from oqvl_eval.scoring_rules import figures
from oqvl_eval.scoring_rules.arguments import answer_type, covered_texts, human_answers, options_by_letter, precision
from oqvl_eval.scoring_rules.peer_reading import whole_answer
from oqvl_eval.scoring_rules.task_rules import ProfileRules, TaskRules, Verdict
from oqvl_eval.scoring_rules.words import words


def choose(logprobs: Sequence[float]) -> int | None:
    """Return the option with the highest log-likelihood; None if several options tie."""
    best = max(logprobs)
    winners = [index for index, value in enumerate(logprobs) if value == best]
    return winners[0] if len(winners) == 1 else None


def read(item: Item, output: str) -> Reading:
    """Read an output by the item's rule: a letter, yes or no, or a short answer."""
    if item.scoring_rule == "multiple_choice":
        return read_choice(output, options_by_letter(item))
    return read_yes_no(output) if item.scoring_rule == "yes_no" else read_text(output)


def grade(item: Item, _output: str, reading: Reading) -> float:
    """Return 1 if what was read is right: the right letter, yes or no, or an accepted answer in normal form."""
    if reading.status != "read":
        return 0.0
    if item.scoring_rule == "short_answer":
        return float(normal_form(reading.answer) in {normal_form(accepted) for accepted in item.accepted_answers})
    return float(reading.answer == item.answer)


def grade_vqa(item: Item, _output: str, reading: Reading) -> float:
    """Return the VQA accuracy of a short answer: the mean of min(n / 3, 1), each human answer left out once.

    Both sides are compared in their normal form.
    """
    if reading.status != "read":
        return 0.0
    accuracies = leave_one_out(normal_form(reading.answer), [normal_form(answer) for answer in human_answers(item)])
    return math.fsum(accuracies) / len(accuracies)


def read_mathvista(item: Item, output: str) -> Reading:
    """Read a letter, a number if the answer is one, or a short answer."""
    is_number = not item.choices and answer_type(item) in ("integer", "float")
    return read_number(output) if is_number else read(item, output)


def grade_mathvista(item: Item, output: str, reading: Reading) -> float:
    """Return 1 if the answer is right; numbers are compared at the item's precision."""
    if item.choices or answer_type(item) not in ("integer", "float"):
        return grade(item, output, reading)
    try:
        gold = Fraction(item.answer)
    except (ValueError, ZeroDivisionError):
        return grade(item, output, reading)
    if reading.status != "read":
        return 0.0
    decimals = int(precision(item) or 0) if answer_type(item) == "float" else 0
    is_whole_wanted = answer_type(item) == "integer"
    said = Fraction(reading.answer)
    return float(said == gold if is_whole_wanted else round(said, decimals) == round(gold, decimals))


def read_vcr(_item: Item, output: str) -> Reading:
    """Return the answer without its reasoning, in which the covered texts are searched."""
    return whole_answer(split_reasoning(output).answer.strip())


def grade_vcr(item: Item, _output: str, reading: Reading) -> float:
    """Return the share of covered texts that some n-gram of the answer equals."""
    matches = _matches(item, reading)
    return math.fsum(found.exact_match for found in matches) / len(matches)


def match_vcr(verdict: Verdict) -> list[NgramMatch]:
    """Compare an answer with the covered texts of its picture."""
    return _matches(verdict.item, verdict.reading)


def _matches(item: Item, reading: Reading) -> list[NgramMatch]:
    return [score_covered_text(reading.answer, text, words) for text in covered_texts(item)]


GENERIC = TaskRules(read, grade, figures.accuracy, choose=choose)
_YES_NO = TaskRules(read, grade, figures.yes_no_by_split, choose=choose)
_VQA = TaskRules(read, grade_vqa, figures.accuracy, choose=choose, uses_metadata=True)

RULES = ProfileRules(
    profile="strict",
    source="",
    tasks={
        "ai2d": GENERIC,
        "gqa": GENERIC,
        "mantis": GENERIC,
        "mathvista": TaskRules(read_mathvista, grade_mathvista, figures.accuracy, choose=choose, uses_metadata=True),
        "mmbench": TaskRules(read, grade, figures.circular_by_cluster, choose=choose),
        "mmmu": GENERIC,
        "mmstar": GENERIC,
        "mtvqa": TaskRules(read, grade, figures.mean_over_categories, choose=choose),
        "okvqa": _VQA,
        "pope": _YES_NO,
        "realworldqa": GENERIC,
        "scienceqa": GENERIC,
        "seedbench": GENERIC,
        "textvqa": _VQA,
        "vcr": TaskRules(read_vcr, grade_vcr, figures.ngram_matches(match_vcr), choose=choose, uses_metadata=True),
        "vizwiz": _VQA,
        "vqav2": _VQA,
    },
    generic={"multiple_choice": GENERIC, "short_answer": GENERIC, "yes_no": _YES_NO},
)
