"""The profile `official`: the benchmarks' own scoring scripts, as `oqvl_eval.profiles.official` reproduces them."""

from __future__ import annotations

from collections.abc import Sequence

from oqvl_eval.item import Item
from oqvl_eval.profiles import mmmu_rules, vqa_answer
from oqvl_eval.profiles.markers import Credit, NeedsJudge
from oqvl_eval.profiles.official import (
    gqa,
    mantis,
    mathvista,
    mmbench,
    mmmu,
    mmstar,
    mtvqa,
    pope,
    scienceqa,
    seedbench,
    vqa,
)
from oqvl_eval.profiles.vlmevalkit import option_inference
from oqvl_eval.reading.reading import Reading
from oqvl_eval.scoring_rules import arguments, figures
from oqvl_eval.scoring_rules.peer_reading import peer_reading, search, whole_answer
from oqvl_eval.scoring_rules.task_rules import Figures, ProfileRules, TaskRules, Verdict, kept_bugs


def read_mmmu(item: Item, output: str) -> Reading:
    """Read a letter, or everything that an open answer may say."""
    if item.choices:
        return peer_reading(mmmu.read_letter(output, item.choices), "letter")
    return peer_reading(" | ".join(str(form) for form in mmmu_rules.parse_open(output)), "open_answer")


def grade_mmmu(item: Item, output: str, _reading: Reading) -> float:
    """Grade by the rules of MMMU; a random draw has its expected credit."""
    return mmmu.credit(output, arguments.options_or_none(item), arguments.golds(item))


def read_mmbench(item: Item, output: str) -> Reading:
    """Infer an option."""
    letter = mmbench.infer_option(output, arguments.options_by_letter(item))
    if letter == option_inference.REFUSED:
        return Reading("refused", "", "refusal")
    return peer_reading(letter, "option_inference")


def grade_mmbench(item: Item, output: str, _reading: Reading) -> float:
    """Grade one row."""
    return mmbench.credit(output, arguments.options_by_letter(item), item.answer)


def read_letter_alone(_item: Item, output: str) -> Reading:
    """Read an answer that must be the letter and nothing else."""
    return whole_answer(output)


def grade_seedbench(item: Item, output: str, _reading: Reading) -> float:
    """Grade by the exact letter."""
    return seedbench.credit(output, item.answer)


def choose_seedbench(logprobs: Sequence[float]) -> int:
    """Choose the option of lowest loss; of equal ones, the first."""
    return ord(seedbench.lowest_loss_letter([-value for value in logprobs])) - ord("A")


def read_mmstar(item: Item, output: str) -> Reading:
    """Read the right letter if it is among the answer's candidates, else the first candidate."""
    candidates = sorted(letter.upper() for letter in mmstar.candidate_letters(output))
    letter = item.answer if item.answer in candidates else next(iter(candidates), None)
    return peer_reading(letter, "letter")


def grade_mmstar(item: Item, output: str, _reading: Reading) -> float:
    """Grade by the candidates for the letter."""
    return mmstar.credit(output, item.answer)


def aggregate_mmstar(verdicts: Sequence[Verdict]) -> Figures:
    """Report accuracies per category and sub-category over fixed denominators."""
    results = [(v.item.category, str(v.item.metadata.get("l2_category", "")), v.credit) for v in verdicts]
    return Figures("final score", mmstar.summarize(results))


def read_scienceqa(_item: Item, output: str) -> Reading:
    """Read a letter."""
    return peer_reading(scienceqa.read_letter(output), "letter")


def grade_scienceqa(item: Item, output: str, _reading: Reading) -> float:
    """Grade by the letter."""
    return scienceqa.credit(output, len(item.choices), arguments.gold_index(item))


def read_mantis(item: Item, output: str) -> Reading:
    """Read the first letter, or the whole short answer."""
    answer = mantis.cut_answer(output)
    return peer_reading(mantis.read_letter(answer), "letter") if item.choices else whole_answer(answer)


def grade_mantis(item: Item, output: str, _reading: Reading) -> float:
    """Grade by the letter, or by the text."""
    dataset = str(item.metadata.get("dataset", ""))
    return mantis.credit(output, arguments.options_or_none(item), item.answer, dataset)


def read_vqa(_item: Item, output: str) -> Reading:
    """Read the whole answer in its normal form."""
    return whole_answer(vqa.normalize(output))


def grade_vqa(item: Item, output: str, _reading: Reading) -> float:
    """Return the M4C accuracy."""
    return vqa.credit(output, arguments.human_answers(item))


def read_gqa(_item: Item, output: str) -> Reading:
    """Read the whole prepared answer."""
    return whole_answer(gqa.prepare(output))


def grade_gqa(item: Item, output: str, _reading: Reading) -> float:
    """Compare the prepared answer with the gold."""
    return gqa.credit(output, item.answer)


def read_mathvista(item: Item, output: str) -> Reading:
    """Extract an answer and normalise it."""
    choices, kind, answer_type = _mathvista(item)
    extraction = mathvista.extract(output, choices, kind, answer_type)
    if isinstance(extraction, NeedsJudge):
        return peer_reading(extraction, "extraction")
    precision = arguments.precision(item)
    return peer_reading(mathvista.normalize(extraction, choices, kind, answer_type, precision), "extraction")


def grade_mathvista(item: Item, output: str, _reading: Reading) -> Credit:
    """Compare the normalised extraction with the gold."""
    return mathvista.credit(output, *_mathvista(item), arguments.precision(item), arguments.gold_text(item))


def read_pope(_item: Item, output: str) -> Reading:
    """Read no if the first sentence has a word for it, else yes."""
    return peer_reading("yes" if pope.reads_yes(output) else "no", "first_sentence")


def grade_pope(item: Item, output: str, _reading: Reading) -> float:
    """Compare yes or no with the gold."""
    return pope.credit(output, item.answer)


def aggregate_pope(verdicts: Sequence[Verdict]) -> Figures:
    """Report the figures of each split, and the mean of their F1."""
    splits = {
        split: pope.summarize([(verdict.output, verdict.item.answer) for verdict in group])
        for split, group in figures.by_category(verdicts).items()
    }
    return Figures("f1", {"f1": figures.mean_of_splits(splits, "f1"), **figures.per_split(splits)})


def read_mtvqa(item: Item, output: str) -> Reading:
    """Search the answer for the gold."""
    return search(item.answer, is_found=bool(mtvqa.credit(output, arguments.golds(item))))


def grade_mtvqa(item: Item, output: str, _reading: Reading) -> float:
    """Return whether the answer contains the gold."""
    return mtvqa.credit(output, arguments.golds(item))


def aggregate_mtvqa(verdicts: Sequence[Verdict]) -> Figures:
    """Report the accuracy of each language and their mean."""
    return Figures("Average", mtvqa.summarize(figures.credits_by(verdicts, lambda verdict: verdict.item.category)))


def _mathvista(item: Item) -> tuple[Sequence[str] | None, str, str]:
    return arguments.options_or_none(item), arguments.question_type(item), arguments.answer_type(item)


_MMMU = TaskRules(read_mmmu, grade_mmmu, figures.mmmu(mmmu.summarize), kept_bugs(mmmu, mmmu_rules), "MMMU bb0b95a")
_VQA = TaskRules(read_vqa, grade_vqa, figures.accuracy, kept_bugs(vqa, vqa_answer), "LLaVA c121f04", uses_metadata=True)
_POPE = TaskRules(read_pope, grade_pope, aggregate_pope, kept_bugs(pope), "POPE 08d957b")

RULES = ProfileRules(
    profile="official",
    source="the benchmarks' own scripts",
    tasks={
        "gqa": TaskRules(read_gqa, grade_gqa, figures.accuracy, kept_bugs(gqa), "LLaVA c121f04"),
        "mantis": TaskRules(
            read_mantis, grade_mantis, figures.accuracy, kept_bugs(mantis), "Mantis f3a3192", uses_metadata=True
        ),
        "mathvista": TaskRules(
            read_mathvista,
            grade_mathvista,
            figures.accuracy,
            kept_bugs(mathvista),
            "MathVista 53d5258",
            uses_metadata=True,
        ),
        "mmbench": TaskRules(
            read_mmbench,
            grade_mmbench,
            figures.circular(mmbench.circular_credits),
            kept_bugs(option_inference),
            "VLMEvalKit e8e78f0, without a judge",
        ),
        "mmmu": _MMMU,
        "mmstar": TaskRules(read_mmstar, grade_mmstar, aggregate_mmstar, kept_bugs(mmstar), "MMStar 88f243a"),
        "mtvqa": TaskRules(read_mtvqa, grade_mtvqa, aggregate_mtvqa, kept_bugs(mtvqa), "MTVQA efc6a78"),
        "okvqa": _VQA,
        "pope": _POPE,
        "scienceqa": TaskRules(
            read_scienceqa, grade_scienceqa, figures.accuracy, kept_bugs(scienceqa), "LLaVA c121f04"
        ),
        "seedbench": TaskRules(
            read_letter_alone,
            grade_seedbench,
            figures.accuracy,
            kept_bugs(seedbench),
            "LLaVA c121f04",
            choose=choose_seedbench,
        ),
        "textvqa": _VQA,
        "vizwiz": _VQA,
        "vqav2": _VQA,
    },
    generic={"multiple_choice": _MMMU, "short_answer": _MMMU, "yes_no": _POPE},
)
