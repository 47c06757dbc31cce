"""One item of every task, and verdicts on outputs to it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from oqvl_eval import Item
from oqvl_eval.config import Profile
from oqvl_eval.predictions import Prediction
from oqvl_eval.scoring import judge
from oqvl_eval.scoring_rules.registry import PROFILES
from oqvl_eval.scoring_rules.task_rules import Verdict

PETS = ("a cat", "a dog", "a horse", "a pig")
CHOICE = Item("1", "1", ("?",), PETS, "B", "animals")
SHORT = Item("1", "1", ("?",), (), "a dog")
COLOUR = Item("1", "1", ("?",), (), "red", metadata={"human_answers": ["red"] * 2 + ["Dark Red"] * 8})

ITEMS = {
    "ai2d": CHOICE,
    "gqa": SHORT,
    "mantis": CHOICE,
    "mathvista": Item("1", "1", ("?",), (), "1.2", metadata={"answer_type": "float", "precision": 1.0}),
    "mmbench": CHOICE,
    "mmmu": CHOICE,
    "mmstar": Item("1", "1", ("?",), PETS, "B", "animals", metadata={"l2_category": "pets"}),
    "mtvqa": Item("1", "1", ("?",), (), "Hund", "DE"),
    "okvqa": COLOUR,
    "pope": Item("1", "1", ("?",), ("yes", "no"), "no", "random", "yes_no"),
    "realworldqa": CHOICE,
    "scienceqa": CHOICE,
    "seedbench": CHOICE,
    "textvqa": COLOUR,
    "vcr": Item("1", "1", ("?",), (), "of course", metadata={"covered_texts": ["of course", "the end"]}),
    "vizwiz": COLOUR,
    "vqav2": COLOUR,
}


@pytest.fixture
def items() -> dict[str, Item]:
    """One item per task."""
    return dict(ITEMS)


@pytest.fixture
def judged(items: dict[str, Item]) -> Callable[..., Verdict]:
    """Judge an output to a task's item, or to an item of its own, under a profile."""

    def judge_output(profile: Profile, task: str, output: str, item: Item | None = None) -> Verdict:
        rules = PROFILES[profile].tasks[task]
        return judge(Prediction(item or items[task], output, (), ""), rules=rules)

    return judge_output
