"""The profile `paper`: the harness of Open-Qwen2VL at 0d76f9f, as `oqvl_eval.profiles.paper` reproduces it."""

from __future__ import annotations

from collections.abc import Sequence

from oqvl_eval.item import Item
from oqvl_eval.profiles import mmmu_rules, vqa_answer
from oqvl_eval.profiles.paper import ai2d, answer_text, gqa, mathvista, mmmu, pope, substring, vqa
from oqvl_eval.reading.reading import Reading
from oqvl_eval.scoring_rules import arguments, figures
from oqvl_eval.scoring_rules.peer_reading import peer_reading, search, whole_answer
from oqvl_eval.scoring_rules.task_rules import (
    Aggregator,
    Chooser,
    Figures,
    Grader,
    ProfileRules,
    Reader,
    TaskRules,
    Verdict,
    kept_bugs,
)

SOURCE = "Open-Qwen2VL 0d76f9f"


def read_substring(item: Item, output: str) -> Reading:
    """Search the answer for the right letter in either case."""
    return search(item.answer, is_found=bool(substring.credit(output, item.answer)))


def grade_substring(item: Item, output: str, _reading: Reading) -> float:
    """Return whether the answer contains the right letter in either case."""
    return substring.credit(output, item.answer)


def read_exact_case(item: Item, output: str) -> Reading:
    """Search the answer for what is right, in the same case."""
    return search(item.answer, is_found=bool(substring.exact_case_credit(output, item.answer)))


def grade_exact_case(item: Item, output: str, _reading: Reading) -> float:
    """Return whether the answer contains what is right, in the same case."""
    return substring.exact_case_credit(output, item.answer)


def grade_mantis(item: Item, output: str, _reading: Reading) -> float:
    """Return whether the answer contains what is right, or is one of several right answers."""
    return substring.mantis_credit(output, arguments.golds(item))


def read_mmmu(item: Item, output: str) -> Reading:
    """Read a letter, or everything that an open answer may say."""
    if item.choices:
        return peer_reading(mmmu.read_letter(output, item.choices), "letter")
    return read_open(item, output)


def grade_mmmu(item: Item, output: str, _reading: Reading) -> float:
    """Grade by the rules of MMMU; a random draw has its expected credit."""
    if item.choices:
        return mmmu.choice_credit(output, item.choices, item.answer)
    return mmmu.open_credit(output, arguments.golds(item))


def read_open(_item: Item, output: str) -> Reading:
    """Read everything that an open answer may say."""
    return peer_reading(" | ".join(str(form) for form in mmmu_rules.parse_open(output)), "open_answer")


def grade_mathvista(item: Item, output: str, _reading: Reading) -> float:
    """Grade by the rules of MMMU's open items; the gold of an item with options is its letter."""
    return mathvista.credit(output, arguments.golds(item))


def choose_most_likely(logprobs: Sequence[float]) -> int:
    """Choose the option of highest probability; of equal ones, the first."""
    return ai2d.most_likely(logprobs)


def read_textvqa(_item: Item, output: str) -> Reading:
    """Read the whole stored answer in its normal form."""
    return whole_answer(vqa_answer.normalize(answer_text.stored_answer(output)))


def grade_textvqa(item: Item, output: str, _reading: Reading) -> float:
    """Return the M4C accuracy."""
    return vqa.textvqa_credit(output, arguments.human_answers(item))


def read_vqa(_item: Item, output: str) -> Reading:
    """Read the whole stored answer in its normal form."""
    return whole_answer(vqa.normalize(answer_text.stored_answer(output)))


def grade_vqa(item: Item, output: str, _reading: Reading) -> float:
    """Return the accuracy of VQAv2 and OK-VQA."""
    return vqa.credit(output, arguments.human_entries(item))


def aggregate_vqa(verdicts: Sequence[Verdict]) -> Figures:
    """Report the accuracy of VQAv2 and OK-VQA, which is rounded to two decimals of a percentage."""
    return Figures("accuracy", {"accuracy": vqa.summarize([verdict.credit for verdict in verdicts]) / 100})


def read_vizwiz(_item: Item, output: str) -> Reading:
    """Read the whole stored answer in the normal form of VizWiz."""
    return whole_answer(vqa.normalize(answer_text.stored_answer(output), vqa.VIZWIZ))


def grade_vizwiz(item: Item, output: str, _reading: Reading) -> float:
    """Return the accuracy of VizWiz."""
    return vqa.vizwiz_credit(output, arguments.human_answers(item))


def aggregate_vizwiz(verdicts: Sequence[Verdict]) -> Figures:
    """Report the accuracy of VizWiz, which is rounded to two decimals of a percentage."""
    return Figures("accuracy", {"accuracy": vqa.vizwiz_summarize([verdict.credit for verdict in verdicts]) / 100})


def read_gqa(_item: Item, output: str) -> Reading:
    """Read the whole prepared answer."""
    return whole_answer(gqa.prepare(output))


def grade_gqa(item: Item, output: str, _reading: Reading) -> float:
    """Compare the prepared answer with the gold."""
    return gqa.credit(output, item.answer)


def read_pope(_item: Item, output: str) -> Reading:
    """Read an answer that is yes or no and nothing else but commas or periods."""
    answer = pope.prepare(output)
    return peer_reading(answer if answer in ("yes", "no") else None, "whole_answer")


def grade_pope(item: Item, output: str, _reading: Reading) -> float:
    """Compare the prepared answer with the gold."""
    return pope.credit(output, item.answer)


def aggregate_pope(verdicts: Sequence[Verdict]) -> Figures:
    """Report accuracy and F1 of each split, and their means."""
    splits = {
        split: pope.split_figures([(verdict.output, verdict.item.answer) for verdict in group])
        for split, group in figures.by_category(verdicts).items()
    }
    means = {name: figures.mean_of_splits(splits, name) for name in ("accuracy", "f1")}
    return Figures("f1", {**means, **figures.per_split(splits)})


def _rules(
    read: Reader,
    grade: Grader,
    aggregate: Aggregator = figures.accuracy,
    notes: tuple[str, ...] = (),
    *,
    choose: Chooser | None = None,
    uses_metadata: bool = False,
) -> TaskRules:
    return TaskRules(read, grade, aggregate, notes, SOURCE, choose=choose, uses_metadata=uses_metadata)


_SUBSTRING = _rules(read_substring, grade_substring, notes=kept_bugs(substring))
_OPEN_MATHVISTA = kept_bugs(mathvista, mmmu_rules)
_VQA = _rules(read_vqa, grade_vqa, aggregate_vqa, kept_bugs(vqa, vqa_answer, answer_text), uses_metadata=True)
_GQA = _rules(read_gqa, grade_gqa, notes=kept_bugs(gqa, answer_text))
_POPE = _rules(read_pope, grade_pope, aggregate_pope, kept_bugs(pope))

RULES = ProfileRules(
    profile="paper",
    source=SOURCE,
    tasks={
        "ai2d": _rules(
            read_substring,
            grade_substring,
            notes=("The harness scores AI2D by likelihood alone. Generated answers are searched for the letter.",),
            choose=choose_most_likely,
        ),
        "gqa": _GQA,
        "mantis": _rules(read_exact_case, grade_mantis, notes=kept_bugs(substring)),
        "mathvista": _rules(read_open, grade_mathvista, notes=_OPEN_MATHVISTA),
        "mmbench": _rules(read_substring, grade_substring, notes=kept_bugs(substring)),
        "mmmu": _rules(read_mmmu, grade_mmmu, notes=kept_bugs(mmmu, mmmu_rules)),
        "mmstar": _rules(read_exact_case, grade_exact_case, notes=kept_bugs(substring)),
        "okvqa": _VQA,
        "pope": _POPE,
        "seedbench": _SUBSTRING,
        "textvqa": _rules(read_textvqa, grade_textvqa, notes=kept_bugs(vqa_answer, answer_text), uses_metadata=True),
        "vizwiz": _rules(
            read_vizwiz,
            grade_vizwiz,
            aggregate_vizwiz,
            kept_bugs(vqa, vqa_answer, answer_text),
            uses_metadata=True,
        ),
        "vqav2": _VQA,
    },
    generic={"multiple_choice": _SUBSTRING, "short_answer": _GQA, "yes_no": _POPE},
)
