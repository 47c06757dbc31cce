from __future__ import annotations

import pytest

from oqvl_eval.profiles.markers import NeedsJudge
from oqvl_eval.profiles.rotation import OFFSET, Rotation, all_right, by_question, mean_by


def rotation(index: int) -> Rotation:
    return Rotation(index, "A", {"A": "x"}, "A")


def test_rotations_are_grouped_by_question_and_ordered():
    rows = [rotation(2 * OFFSET + 7), rotation(9), rotation(7), rotation(OFFSET + 7)]
    groups = by_question(rows)
    assert {question: [row.index for row in group] for question, group in groups.items()} == {
        7: [7, OFFSET + 7, 2 * OFFSET + 7],
        9: [9],
    }


def test_rotations_without_their_question_are_left_out():
    assert by_question([rotation(OFFSET + 7)]) == {}


@pytest.mark.parametrize(
    ("letters", "has_judge", "credit"),
    [
        (["A", "B"], True, 1.0),
        (["A", "C"], True, 0.0),
        ([None, "C"], True, 0.0),
        ([None, "B"], True, NeedsJudge()),
        ([None, "B"], False, 0.0),
    ],
)
def test_all_right(letters, has_judge, credit):
    assert all_right(letters, ["A", "B"], has_judge) == credit


def test_mean_by():
    assert mean_by({1: 1.0, 2: 0.0, 3: 1.0}, {1: "b", 2: "b", 3: "a"}) == {"a": 1.0, "b": 0.5}
