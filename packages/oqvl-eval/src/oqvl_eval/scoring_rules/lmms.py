"""The profile `lmms`: lmms-eval at 75571cf, as `oqvl_eval.profiles.lmms` reproduces it.

Its command line removes reasoning from every answer before the rules see it, apart from AI2D's.
"""

from __future__ import annotations

from collections.abc import Sequence

from oqvl_eval.item import Item
from oqvl_eval.profiles import mmmu_rules, ngram_match, vqa_answer
from oqvl_eval.profiles.lmms import (
    ai2d,
    exact_match,
    gqa,
    letter,
    mantis,
    mathvista,
    mmbench,
    mmmu,
    mmstar,
    mtvqa,
    pope,
    realworldqa,
    scienceqa,
    seedbench,
    vcr,
    vqa,
)
from oqvl_eval.profiles.lmms.reasoning import DEFAULT_TAGS, strip_reasoning
from oqvl_eval.profiles.markers import Credit, NeedsJudge
from oqvl_eval.profiles.official import mantis as official_mantis
from oqvl_eval.profiles.official import mathvista as official_mathvista
from oqvl_eval.reading.reading import Reading
from oqvl_eval.scoring_rules import arguments, figures, official
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

SOURCE = "lmms-eval 75571cf"


def read_mmmu(item: Item, output: str) -> Reading:
    """Read a letter, or the one entry that is kept of an open answer."""
    if item.choices:
        return peer_reading(mmmu.read_letter(output, item.choices), "letter")
    return peer_reading(mmmu.kept_open_answer(output), "open_answer")


def grade_mmmu(item: Item, output: str, _reading: Reading) -> float:
    """Grade by the rules of MMMU; a random draw has its expected credit."""
    return mmmu.credit(output, arguments.options_or_none(item), arguments.golds(item))


def read_mmbench(item: Item, output: str) -> Reading:
    """Infer an option; a judge model would read what the rules cannot."""
    return peer_reading(
        mmbench.infer_option(output, arguments.options_by_letter(item)) or NeedsJudge(), "option_inference"
    )


def grade_mmbench(item: Item, _output: str, reading: Reading) -> Credit:
    """Grade one row by the option that was inferred."""
    return float(reading.answer == item.answer) if reading.status == "read" else NeedsJudge()


def read_seedbench(_item: Item, output: str) -> Reading:
    """Read the first character."""
    return peer_reading(seedbench.read_letter(output).upper(), "letter")


def grade_seedbench(item: Item, output: str, _reading: Reading) -> float:
    """Grade by the first character."""
    return seedbench.credit(output, item.answer)


def read_letter(item: Item, output: str) -> Reading:
    """Read a letter by the rules that several benchmarks share."""
    return peer_reading(letter.read_letter(output, item.letters), "letter")


def grade_letter(item: Item, _output: str, reading: Reading) -> float:
    """Grade by the letter that was read."""
    return float(reading.answer == item.answer)


def read_mmstar(_item: Item, output: str) -> Reading:
    """Read a letter from A to D."""
    return peer_reading(letter.read_letter(output), "letter")


def grade_mmstar(item: Item, output: str, _reading: Reading) -> float:
    """Grade by the letter."""
    return mmstar.credit(output, item.answer)


def aggregate_mmstar(verdicts: Sequence[Verdict]) -> Figures:
    """Report the mean over the sub-categories."""
    results = [(str(verdict.item.metadata.get("l2_category", "")), verdict.credit) for verdict in verdicts]
    return Figures("average", {"average": mmstar.summarize(results)})


def read_ai2d(_item: Item, output: str) -> Reading:
    """Read a letter, or the whole answer."""
    return whole_answer(exact_match.prepare(strip_reasoning(ai2d.cut_letter(output), DEFAULT_TAGS)).upper())


def grade_ai2d(item: Item, output: str, _reading: Reading) -> float:
    """Compare with the letter; the reasoning is removed after the letter is read."""
    return ai2d.credit(output, item.answer, DEFAULT_TAGS)


def read_scienceqa(_item: Item, output: str) -> Reading:
    """Read a letter that is alone or comes before a period."""
    answer = output.strip()
    return peer_reading(answer[:1].upper() if len(answer) == 1 or answer[1:2] == "." else None, "letter")


def grade_scienceqa(item: Item, output: str, _reading: Reading) -> float:
    """Grade by the letter."""
    return scienceqa.credit(output, arguments.gold_index(item))


def read_realworldqa(item: Item, output: str) -> Reading:
    """Read a letter from A to D, or the whole answer."""
    if item.answer.strip().upper() in letter.LETTERS:
        return peer_reading(letter.read_letter(output), "letter")
    return whole_answer(output.lower().strip().rstrip("."))


def grade_realworldqa(item: Item, output: str, _reading: Reading) -> float:
    """Grade by the letter, or by the text."""
    return realworldqa.credit(output, item.answer)


def grade_mantis(item: Item, output: str, _reading: Reading) -> float:
    """Grade by the letter, or by the text."""
    return mantis.credit(output, arguments.options_or_none(item), item.answer)


def read_vqa(_item: Item, output: str) -> Reading:
    """Read the whole answer in its normal form."""
    return whole_answer(vqa.normalize(output))


def grade_vqa(item: Item, output: str, _reading: Reading) -> float:
    """Return the VQA accuracy."""
    return vqa.credit(output, arguments.human_answers(item))


def read_vqav2(_item: Item, output: str) -> Reading:
    """Read the whole answer in the normal form of VQAv2."""
    return whole_answer(vqa.normalize_vqav2(output))


def grade_vqav2(item: Item, output: str, _reading: Reading) -> float:
    """Return the accuracy of VQAv2."""
    return vqa.vqav2_credit(output, arguments.human_entries(item))


def read_gqa(_item: Item, output: str) -> Reading:
    """Read the whole prepared answer."""
    return whole_answer(exact_match.prepare(output.strip()))


def grade_gqa(item: Item, output: str, _reading: Reading) -> float:
    """Compare the prepared answer with the gold."""
    return gqa.credit(output, item.answer)


def read_mathvista(item: Item, output: str) -> Reading:
    """Extract an answer and normalise it."""
    choices, kind = arguments.options_or_none(item), arguments.question_type(item)
    answer_type = arguments.answer_type(item)
    extraction = mathvista.extract(output, choices, kind, answer_type)
    if isinstance(extraction, NeedsJudge):
        return peer_reading(extraction, "extraction")
    return peer_reading(
        mathvista.normalize(extraction, choices, kind, answer_type, arguments.precision(item)), "extraction"
    )


def grade_mathvista(item: Item, output: str, _reading: Reading) -> Credit:
    """Compare the text of the normalised extraction with that of the gold."""
    return mathvista.credit(
        output,
        arguments.options_or_none(item),
        arguments.question_type(item),
        arguments.answer_type(item),
        arguments.precision(item),
        arguments.gold_text(item),
    )


def aggregate_mathvista(verdicts: Sequence[Verdict]) -> Figures:
    """Report the accuracy; an accuracy of 0 is missing."""
    percent = mathvista.summarize([verdict.credit for verdict in verdicts])
    return Figures("accuracy", {"accuracy": None if percent is None else percent / 100})


def read_pope(_item: Item, output: str) -> Reading:
    """Read an answer that is yes or no and nothing else."""
    answer = output.lower().strip()
    return peer_reading(answer if answer in ("yes", "no") else None, "whole_answer")


def grade_pope(item: Item, output: str, _reading: Reading) -> float:
    """Compare the whole answer with the gold."""
    return pope.credit(output, item.answer)


def aggregate_pope(verdicts: Sequence[Verdict]) -> Figures:
    """Report the figures of all splits together, which is what the harness prints, and of each."""
    splits = {
        split: pope.summarize([(verdict.output, verdict.item.answer) for verdict in group])
        for split, group in figures.by_category(verdicts).items()
    }
    overall = pope.summarize([(verdict.output, verdict.item.answer) for verdict in verdicts])
    return Figures("f1", {**overall, **figures.per_split(splits)})


def read_mtvqa(item: Item, output: str) -> Reading:
    """Search the answer for the gold."""
    return search(item.answer, is_found=bool(mtvqa.credit(output, item.answer)))


def grade_mtvqa(item: Item, output: str, _reading: Reading) -> float:
    """Return whether the answer contains the gold."""
    return mtvqa.credit(output, item.answer)


def grade_vcr(item: Item, output: str, _reading: Reading) -> float:
    """Return the share of covered texts that some n-gram of the answer equals."""
    matches = vcr.match(output, arguments.covered_texts(item), words)
    return sum(found.exact_match for found in matches) / len(matches)


def match_vcr(verdict: Verdict) -> list[ngram_match.NgramMatch]:
    """Compare an answer with the covered texts of its picture."""
    return vcr.match(verdict.output, arguments.covered_texts(verdict.item), words)


def read_whole(_item: Item, output: str) -> Reading:
    """Read the whole answer."""
    return whole_answer(output)


def _rules(
    read: Reader,
    grade: Grader,
    aggregate: Aggregator = figures.accuracy,
    notes: tuple[str, ...] = (),
    *,
    uses_metadata: bool = False,
) -> TaskRules:
    return TaskRules(read, grade, aggregate, notes, SOURCE, prepare=strip_reasoning, uses_metadata=uses_metadata)


_LETTER = _rules(read_letter, grade_letter, notes=kept_bugs(letter))
_GQA = _rules(read_gqa, grade_gqa, notes=kept_bugs(exact_match))
_VQA = _rules(read_vqa, grade_vqa, notes=kept_bugs(vqa_answer), uses_metadata=True)
_POPE = _rules(read_pope, grade_pope, aggregate_pope, kept_bugs(pope))

RULES = ProfileRules(
    profile="lmms",
    source=SOURCE,
    tasks={
        "ai2d": TaskRules(read_ai2d, grade_ai2d, figures.accuracy, kept_bugs(ai2d, exact_match), SOURCE),
        "gqa": _GQA,
        "mantis": _rules(official.read_mantis, grade_mantis, notes=kept_bugs(mantis, official_mantis)),
        "mathvista": _rules(
            read_mathvista,
            grade_mathvista,
            aggregate_mathvista,
            kept_bugs(mathvista, official_mathvista),
            uses_metadata=True,
        ),
        "mmbench": _rules(
            read_mmbench, grade_mmbench, figures.circular(mmbench.circular_credits), kept_bugs(mmbench, letter)
        ),
        "mmmu": _rules(read_mmmu, grade_mmmu, figures.mmmu(mmmu.summarize), kept_bugs(mmmu, mmmu_rules)),
        "mmstar": _rules(read_mmstar, grade_mmstar, aggregate_mmstar, kept_bugs(letter)),
        "mtvqa": _rules(read_mtvqa, grade_mtvqa, notes=kept_bugs(mtvqa)),
        "okvqa": _VQA,
        "pope": _POPE,
        "realworldqa": _rules(read_realworldqa, grade_realworldqa, notes=kept_bugs(letter)),
        "scienceqa": _rules(read_scienceqa, grade_scienceqa, notes=kept_bugs(scienceqa)),
        "seedbench": _rules(read_seedbench, grade_seedbench, notes=kept_bugs(seedbench)),
        "textvqa": _VQA,
        "vcr": _rules(
            read_whole,
            grade_vcr,
            figures.ngram_matches(match_vcr),
            (*kept_bugs(ngram_match), NOTE),
            uses_metadata=True,
        ),
        "vizwiz": _VQA,
        "vqav2": _rules(read_vqav2, grade_vqav2, notes=kept_bugs(vqa, vqa_answer), uses_metadata=True),
    },
    generic={"multiple_choice": _LETTER, "short_answer": _GQA, "yes_no": _POPE},
)
