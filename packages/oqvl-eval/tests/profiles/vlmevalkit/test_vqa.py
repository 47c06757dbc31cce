from __future__ import annotations

import pytest

from oqvl_eval.profiles.vlmevalkit import vqa


def test_normalize_answers(check):
    check(vqa.normalize)


def test_credit_answers(check):
    check(vqa.credit)


def test_credit_of_cells_answers(check):
    check(lambda output, cell: vqa.credit(output, vqa.parse_answers(cell)), "credit:cell")


@pytest.mark.parametrize(("answer", "normalized"), [("3.", "3."), ("cat.", "cat"), ("John's", "john's")])
def test_differences_from_the_server(answer, normalized):
    assert vqa.normalize(answer) == normalized


@pytest.mark.parametrize(
    ("cell", "answers"),
    [("['a', 'b']", ["a", "b"]), ("[a", ["[a"]), ("(1, 2)", ["(1, 2)"]), (["a"], ["a"]), (3, ["3"])],
)
def test_parse_answers(cell, answers):
    assert vqa.parse_answers(cell) == answers


def test_a_single_human_answer_scores_nothing():
    assert vqa.credit("cat", ["cat"]) == 0.0
