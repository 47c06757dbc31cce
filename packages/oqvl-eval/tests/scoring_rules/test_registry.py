from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oqvl_eval import Item
from oqvl_eval.config import Profile
from oqvl_eval.predictions import Prediction
from oqvl_eval.scoring import judge
from oqvl_eval.scoring_rules.registry import PROFILES, find_rules
from oqvl_shards.errors import ConfigError

TASKS = set(PROFILES["strict"].tasks)
ABSENT = {
    "strict": set(),
    "official": {"ai2d", "realworldqa", "vcr"},
    "lmms": set(),
    "vlmevalkit": {"mantis"},
    "lm_eval": TASKS - {"mmmu"},
    "paper": {"mtvqa", "realworldqa", "scienceqa", "vcr"},
}


def test_every_profile_that_can_be_named_has_rules():
    assert list(PROFILES) == list(get_args(Profile))
    assert all(PROFILES[name].profile == name for name in PROFILES)


def test_every_profile_has_the_tasks_that_its_harness_has(items):
    assert set(items) == TASKS
    assert {name: TASKS - set(rules.tasks) for name, rules in PROFILES.items()} == ABSENT


KNOWN = [(name, task) for name, rules in PROFILES.items() for task in rules.tasks]
OUTPUTS = [
    "B",
    "the answer is (B)",
    "a dog",
    "No.",
    "1.2",
    "of course",
    "red",
    "",
    "<think>B</think>\nA",
    "I don't know",
]


@pytest.mark.parametrize(("profile", "task"), KNOWN)
def test_every_task_reads_grades_and_aggregates(profile, task, items):
    rules, item = PROFILES[profile].tasks[task], items[task]
    verdicts = [judge(Prediction(item, output, (), ""), rules=rules) for output in OUTPUTS]
    assert verdicts == [judge(Prediction(item, output, (), ""), rules=rules) for output in OUTPUTS]
    assert all(0 <= verdict.credit <= 1 for verdict in verdicts)
    assert all((verdict.reading.status == "read") == bool(verdict.reading.answer) for verdict in verdicts)
    figures = rules.aggregate(verdicts)
    assert figures.headline in figures.values
    assert all(value is None or 0 <= value <= 1 for value in figures.values.values())
    assert rules.source or profile == "strict"


@given(st.text(max_size=60), st.sampled_from(sorted(set(PROFILES) - {"lm_eval"})))
def test_any_text_has_a_credit(output, profile):
    for item in (
        Item("1", "1", ("?",), ("a cat", "a dog"), "B"),
        Item("1", "1", ("?",), (), "a dog"),
        Item("1", "1", ("?",), ("yes", "no"), "no", rule="yes_no"),
    ):
        rules = find_rules(profile, "mine", {item.scoring_rule})
        assert 0 <= judge(Prediction(item, output, (), ""), rules=rules.of(item)).credit <= 1


def test_a_task_that_is_not_known_has_generic_rules():
    found = find_rules("lmms", "my-pets", {"multiple_choice", "yes_no"})
    assert found.is_generic
    assert found.by_rule == {rule: PROFILES["lmms"].generic[rule] for rule in ("multiple_choice", "yes_no")}
    assert found.source == "lmms-eval 75571cf"
    assert set(PROFILES["lmms"].generic["yes_no"].notes) <= set(found.together.notes)
    assert not find_rules("lmms", "mmbench", {"multiple_choice"}).is_generic
    assert not find_rules("strict", "my-pets", {"multiple_choice"}).is_generic


def test_a_rule_that_is_not_known_is_refused():
    message = "profile lm_eval has no rules for task 'pope' with items of rule yes_no"
    with pytest.raises(ConfigError, match=message) as caught:
        find_rules("lm_eval", "pope", {"yes_no"})
    assert "it knows the tasks mmmu, and items of rule multiple_choice, short_answer" in str(caught.value.hint)
