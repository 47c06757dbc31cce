from __future__ import annotations

import pytest

from oqvl_eval import Item
from oqvl_eval.scoring_rules.arguments import (
    covered_texts,
    gold_index,
    gold_text,
    golds,
    human_answers,
    human_entries,
    options_by_letter,
    options_or_none,
    precision,
    question_type,
    rotation_of,
    subject,
)
from oqvl_shards.errors import DataError

CHOICE = Item("1000007", "7", ("?",), ("a cat", "a dog"), "B", "Art")
OPEN = Item("q", "q", ("?",), (), "2", metadata={"accepted_answers": ["two"]})


def with_metadata(**metadata) -> Item:
    return Item("q", "q", ("?",), (), "2", metadata=metadata)


def test_options_and_golds():
    assert options_by_letter(CHOICE) == {"A": "a cat", "B": "a dog"}
    assert (options_or_none(CHOICE), options_or_none(OPEN)) == (("a cat", "a dog"), None)
    assert (gold_index(CHOICE), gold_text(CHOICE), gold_text(OPEN)) == (1, "a dog", "2")
    assert (golds(CHOICE), golds(OPEN), golds(with_metadata())) == ("B", ["2", "two"], "2")
    assert (question_type(CHOICE), question_type(OPEN)) == ("multi_choice", "free_form")
    with pytest.raises(DataError, match="item 'q' has no lettered options"):
        gold_index(OPEN)


def test_human_answers_are_the_accepted_ones_if_there_are_no_others():
    assert human_answers(OPEN) == ("2", "two")
    assert human_answers(with_metadata(human_answers=["a", "a", "b"])) == ["a", "a", "b"]
    assert human_entries(with_metadata(human_answers=["a", "a"])) == [
        {"answer": "a", "answer_id": 1},
        {"answer": "a", "answer_id": 2},
    ]
    assert covered_texts(with_metadata(covered_texts=["x"])) == ["x"]


@pytest.mark.parametrize("value", ["red", [], [1], {"a": 1}])
def test_texts_that_are_none_are_refused(value):
    with pytest.raises(DataError, match=r"human_answers in metadata is .*, expected a list of texts"):
        human_answers(with_metadata(human_answers=value))


def test_the_precision_is_a_number():
    assert (precision(with_metadata()), precision(with_metadata(precision=1.0))) == (None, 1.0)
    with pytest.raises(DataError, match="precision in metadata is 'two'"):
        precision(with_metadata(precision="two"))


def test_a_rotation_has_the_index_of_its_row():
    rotation = rotation_of(CHOICE, "B")
    assert (rotation.index, rotation.output, rotation.gold) == (1000007, "B", "B")
    with pytest.raises(DataError, match="item 'q' of mmbench: the id is not the index of a row"):
        rotation_of(OPEN, "B")


def test_the_subject_of_mmmu():
    assert subject(CHOICE) == "Art"
    assert subject(Item("validation_Art_Theory_3", "q", ("?",), (), "x", "Business")) == "Art_Theory"
