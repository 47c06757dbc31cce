"""The profile `vlmevalkit`: VLMEvalKit at e8e78f0 without a judge, as `oqvl_eval.profiles.vlmevalkit` reproduces it.

It calls this exact matching. MathVista cannot run without a judge: an answer that the first pass does not accept
counts as one that needs it.
"""

from __future__ import annotations

from collections.abc import Sequence

from oqvl_eval.item import Item
from oqvl_eval.profiles import ngram_match, vqa_answer
from oqvl_eval.profiles.markers import Credit, NeedsJudge
from oqvl_eval.profiles.vlmevalkit import gqa, mathvista, mmbench, mmmu, mtvqa, option_inference, pope, vcr, vqa
from oqvl_eval.reading.reading import Reading
from oqvl_eval.scoring_rules import arguments, figures
from oqvl_eval.scoring_rules.peer_reading import peer_reading, search, whole_answer
from oqvl_eval.scoring_rules.task_rules import (
    Aggregator,
    Figures,
    Grader,
    ProfileRules,
    Reader,
    TaskRules,
    Verdict,
    kept_bugs,
)
from oqvl_eval.scoring_rules.words import NOTE, words

SOURCE = "VLMEvalKit e8e78f0, without a judge"


def read_option(item: Item, output: str) -> Reading:
    """Infer an option."""
    return _inferred(option_inference.infer_option(output, arguments.options_by_letter(item)))


def grade_option(item: Item, output: str, _reading: Reading) -> Credit:
    """Grade by the option that is inferred."""
    return option_inference.credit(output, arguments.options_by_letter(item), item.answer)


def read_mmmu(item: Item, output: str) -> Reading:
    """Infer an option; an open item is restated with the gold text as option A."""
    options = arguments.options_by_letter(item) if item.choices else mmmu.restate_open(item.answer)[0]
    return _inferred(option_inference.infer_option(output, options))


def grade_mmmu(item: Item, output: str, _reading: Reading) -> Credit:
    """Grade by the option that is inferred."""
    return mmmu.credit(output, arguments.options_by_letter(item) if item.choices else None, item.answer)


def read_vqa(_item: Item, output: str) -> Reading:
    """Read the whole answer in its normal form."""
    return whole_answer(vqa.normalize(output))


def grade_vqa(item: Item, output: str, _reading: Reading) -> float:
    """Return the VQA accuracy."""
    return vqa.credit(output, arguments.human_answers(item))


def read_gqa(_item: Item, output: str) -> Reading:
    """Read the whole answer."""
    return whole_answer(output.strip().lower())


def grade_gqa(item: Item, output: str, _reading: Reading) -> float:
    """Compare the whole answer with the gold."""
    return gqa.credit(output, item.answer)


def read_mathvista(item: Item, output: str) -> Reading:
    """Read what the first pass accepts."""
    accepted = mathvista.first_pass(output, *_mathvista(item))
    return peer_reading(accepted if isinstance(accepted, NeedsJudge) else str(accepted), "first_pass")


def grade_mathvista(item: Item, output: str, _reading: Reading) -> Credit:
    """Grade what the first pass accepts."""
    return mathvista.credit(output, *_mathvista(item))


def read_pope(_item: Item, output: str) -> Reading:
    """Read yes or no if the answer has that word and not the other."""
    return peer_reading((pope.read_yes_no(output) or "").lower(), "word")


def grade_pope(item: Item, output: str, _reading: Reading) -> Credit:
    """Compare yes or no with the gold."""
    return pope.credit(output, item.answer.capitalize())


def aggregate_pope(verdicts: Sequence[Verdict]) -> Figures:
    """Report the figures of all items and of each split."""
    answers = [(verdict.output, verdict.item.answer.capitalize(), verdict.item.category) for verdict in verdicts]
    splits = {
        split: {name: percent / 100 for name, percent in percents.items()}
        for split, percents in pope.summarize(answers).items()
    }
    return Figures(f"{pope.OVERALL} f1", figures.per_split(splits))


def read_mtvqa(item: Item, output: str) -> Reading:
    """Search the answer for the gold."""
    return search(item.answer, is_found=bool(mtvqa.credit(output, item.answer)))


def grade_mtvqa(item: Item, output: str, _reading: Reading) -> float:
    """Return whether the answer contains the gold."""
    return mtvqa.credit(output, item.answer)


def aggregate_mtvqa(verdicts: Sequence[Verdict]) -> Figures:
    """Report the accuracy of each language and of all answers."""
    percents = mtvqa.summarize(figures.credits_by(verdicts, lambda verdict: verdict.item.category))
    return Figures("Average", {language: percent / 100 for language, percent in percents.items()})


def read_whole(_item: Item, output: str) -> Reading:
    """Read the whole answer."""
    return whole_answer(output)


def grade_vcr(item: Item, output: str, _reading: Reading) -> float:
    """Return the share of covered texts that some n-gram of the answer equals."""
    matches = vcr.match(output, arguments.covered_texts(item), words)
    return sum(found.exact_match for found in matches) / len(matches)


def match_vcr(verdict: Verdict) -> list[ngram_match.NgramMatch]:
    """Compare an answer with the covered texts of its picture."""
    return vcr.match(verdict.output, arguments.covered_texts(verdict.item), words)


def _inferred(letter: str | None) -> Reading:
    if letter == option_inference.REFUSED:
        return Reading("refused", "", "refusal")
    return peer_reading(letter, "option_inference")


def _mathvista(item: Item) -> tuple[Sequence[str] | None, str, str, str]:
    return arguments.options_or_none(item), arguments.question_type(item), arguments.answer_type(item), item.answer


def _rules(
    read: Reader,
    grade: Grader,
    aggregate: Aggregator = figures.accuracy,
    notes: tuple[str, ...] = (),
    *,
    uses_metadata: bool = False,
) -> TaskRules:
    return TaskRules(read, grade, aggregate, notes, SOURCE, uses_metadata=uses_metadata)


_OPTION = _rules(read_option, grade_option, notes=kept_bugs(option_inference))
_GQA = _rules(read_gqa, grade_gqa)
_VQA = _rules(read_vqa, grade_vqa, notes=kept_bugs(vqa_answer), uses_metadata=True)
_POPE = _rules(read_pope, grade_pope, aggregate_pope, kept_bugs(pope))

RULES = ProfileRules(
    profile="vlmevalkit",
    source=SOURCE,
    tasks={
        "ai2d": _OPTION,
        "gqa": _GQA,
        "mathvista": _rules(read_mathvista, grade_mathvista, notes=kept_bugs(mathvista), uses_metadata=True),
        "mmbench": _rules(
            read_option, grade_option, figures.circular(mmbench.circular_credits), kept_bugs(option_inference)
        ),
        "mmmu": _rules(read_mmmu, grade_mmmu, notes=kept_bugs(mmmu, option_inference)),
        "mmstar": _OPTION,
        "mtvqa": _rules(read_mtvqa, grade_mtvqa, aggregate_mtvqa, kept_bugs(mtvqa)),
        "okvqa": _VQA,
        "pope": _POPE,
        "realworldqa": _OPTION,
        "scienceqa": _OPTION,
        "seedbench": _OPTION,
        "textvqa": _VQA,
        "vcr": _rules(
            read_whole,
            grade_vcr,
            figures.ngram_matches(match_vcr),
            (*kept_bugs(ngram_match), NOTE),
            uses_metadata=True,
        ),
        "vizwiz": _VQA,
        "vqav2": _VQA,
    },
    generic={"multiple_choice": _OPTION, "short_answer": _GQA, "yes_no": _POPE},
)
