from __future__ import annotations

from oqvl_eval.profiles.lmms import vqa


def test_normalize_answers(check):
    check(vqa.normalize)


def test_credit_textvqa_answers(check):
    check(vqa.credit, "credit:textvqa")


def test_credit_ok_vqa_answers(check):
    check(vqa.credit, "credit:ok_vqa")


def test_credit_vizwiz_answers(check):
    check(vqa.credit, "credit:vizwiz")


def test_vqav2_credit_answers(check):
    check(vqa.vqav2_credit)


def test_without_human_answers_nothing_is_right():
    assert vqa.credit("cat", None) == 0.0
    assert vqa.vqav2_credit("cat", []) == 0.0


def test_equal_entries_of_vqav2_are_left_out_together():
    told_apart = [{"answer": "cat", "answer_id": number} for number in range(4)]
    assert vqa.vqav2_credit("cat", told_apart) == 1.0
    assert vqa.vqav2_credit("cat", [{"answer": "cat"}] * 4) == 0.0
