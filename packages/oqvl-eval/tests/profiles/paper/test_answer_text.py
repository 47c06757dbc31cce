from __future__ import annotations

from oqvl_eval.profiles.paper import answer_text


def test_stored_answer_answers(check):
    check(answer_text.stored_answer)


def test_line_breaks_and_decimal_points_go():
    assert answer_text.stored_answer("Red\ncar, 1.5 m<|endofchunk|> x") == "redcar 15 m"
