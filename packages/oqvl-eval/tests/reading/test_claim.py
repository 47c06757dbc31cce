from __future__ import annotations

from oqvl_eval.reading.claim import Claim, standing


def claim(start: int, **kind: bool) -> Claim:
    return Claim(start, start + 1, frozenset("A"), "rule", **kind)


def test_plain_claims_all_stand_in_order():
    assert [c.start for c in standing([claim(5), claim(2)])] == [2, 5]


def test_a_correction_withdraws_what_is_before_it():
    assert [c.start for c in standing([claim(0), claim(3, is_correction=True), claim(6)])] == [3, 6]


def test_a_final_answer_withdraws_what_is_not_final():
    assert [c.start for c in standing([claim(0), claim(3, is_final=True)])] == [3]
    assert [c.start for c in standing([claim(0), claim(3, is_final=True), claim(6)])] == [3, 6]
    assert [c.start for c in standing([claim(0, is_final=True), claim(3, is_final=True)])] == [0, 3]
