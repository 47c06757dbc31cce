"""The profile `lm_eval`: lm-evaluation-harness at 4e7e0d4, as `oqvl_eval.profiles.lm_eval` reproduces it.

Of the tasks here it has MMMU alone, and no rule for yes or no.
"""

from __future__ import annotations

from collections.abc import Sequence

from oqvl_eval.item import Item
from oqvl_eval.profiles import mmmu_rules
from oqvl_eval.profiles.lm_eval import mmmu
from oqvl_eval.reading.reading import Reading
from oqvl_eval.scoring_rules import arguments, figures
from oqvl_eval.scoring_rules.peer_reading import peer_reading
from oqvl_eval.scoring_rules.task_rules import Figures, ProfileRules, TaskRules, Verdict, kept_bugs

SOURCE = "lm-evaluation-harness 4e7e0d4"


def read_mmmu(item: Item, output: str) -> Reading:
    """Read a letter, or everything that an open answer may say."""
    if item.choices:
        return peer_reading(mmmu.read_letter(output, item.choices), "letter")
    return peer_reading(" | ".join(str(form) for form in mmmu_rules.parse_open(output)), "open_answer")


def grade_mmmu(item: Item, output: str, _reading: Reading) -> float:
    """Grade by the rules of MMMU; a random draw has its expected credit."""
    return mmmu.credit(output, arguments.options_or_none(item), arguments.golds(item))


def aggregate_mmmu(verdicts: Sequence[Verdict]) -> Figures:
    """Report the accuracy over all subjects, each weighted by its number of answers."""
    credits = figures.credits_by(verdicts, lambda verdict: arguments.subject(verdict.item))
    return Figures("accuracy", {"accuracy": mmmu.summarize(credits)})


_MMMU = TaskRules(read_mmmu, grade_mmmu, aggregate_mmmu, kept_bugs(mmmu_rules), SOURCE)

RULES = ProfileRules(
    profile="lm_eval",
    source=SOURCE,
    tasks={"mmmu": _MMMU},
    generic={"multiple_choice": _MMMU, "short_answer": _MMMU},
)
