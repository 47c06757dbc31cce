from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oqvl_eval.item import LETTERS, YES_NO, ImageRef, Item
from oqvl_shards.errors import DataError


def item(**fields: Any) -> Item:
    values: dict[str, Any] = {
        "item_id": "q",
        "cluster_id": "c",
        "segments": ("Which?",),
        "choices": ("x", "y"),
        "answer": "B",
    }
    return Item(**{**values, **fields})


def test_the_rule_follows_from_the_options():
    assert item().scoring_rule == "multiple_choice"
    assert item(choices=(), answer="x").scoring_rule == "short_answer"
    assert item(answer="y", rule="short_answer").scoring_rule == "short_answer"


def test_options_are_listed_unless_they_are_shown():
    assert item().lists_options
    assert not item(shows_options=True).lists_options
    yes_no = item(choices=("yes", "no"), answer="no", rule="yes_no")
    assert (yes_no.lists_options, yes_no.option_names) == (False, ("yes", "no"))


def test_pictures_are_named_in_the_order_shown():
    assert item(segments=(ImageRef("b"), "and", ImageRef("a"), ImageRef("b"))).image_names == ("b", "a", "b")


def test_accepted_answers():
    assert item(choices=(), answer="two", metadata={"accepted_answers": ["2"]}).accepted_answers == ("two", "2")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"item_id": ""}, "ids must be non-empty"),
        ({"cluster_id": ""}, "ids must be non-empty"),
        ({"answer": "C"}, "expected one of A, B"),
        ({"answer": "y"}, "expected one of A, B"),
        ({"answer": " "}, "no answer"),
        ({"choices": ("x", " ")}, "empty option"),
        ({"choices": tuple(map(str, range(27)))}, "27 options, expected at most 26"),
        ({"choices": (), "rule": "multiple_choice"}, "no options"),
        ({"rule": "yes_no", "answer": "yes"}, "expected one of"),
        ({"rule": "yes_no", "choices": ("yes", "no"), "answer": "maybe"}, "expected one of"),
        ({"metadata": {"accepted_answers": "2"}}, "accepted_answers"),
    ],
)
def test_contradictions_are_refused(fields, message):
    with pytest.raises(DataError, match=message):
        item(**fields)


@given(st.integers(1, 26), st.data())
def test_letters_name_the_options_in_order(num_choices, data):
    letter = data.draw(st.sampled_from(LETTERS[:num_choices]))
    made = item(choices=tuple(f"option {index}" for index in range(num_choices)), answer=letter)
    assert made.letters == made.option_names == tuple(LETTERS[:num_choices])
    assert made.choices[made.letters.index(letter)] == f"option {LETTERS.index(letter)}"


def test_yes_and_no_are_their_own_names():
    made = item(choices=YES_NO, answer="yes", rule="yes_no")
    assert (made.scoring_rule, made.option_names) == ("yes_no", ("yes", "no"))
