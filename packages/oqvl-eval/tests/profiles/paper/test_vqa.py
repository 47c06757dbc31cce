from __future__ import annotations

from oqvl_eval.profiles import vqa_answer
from oqvl_eval.profiles.paper import vqa


def test_normalize_answers(check):
    check(vqa.normalize)


def test_textvqa_credit_answers(check):
    check(vqa.textvqa_credit)


def test_credit_vqav2_answers(check):
    check(vqa.credit, "credit:vqav2")


def test_credit_okvqa_answers(check):
    check(vqa.credit, "credit:okvqa")


def test_summarize_answers(check):
    check(vqa.summarize)


def test_normalize_answers_of_vizwiz(check):
    check(lambda answer: vqa.normalize(answer, vqa.VIZWIZ), "normalize:vizwiz")


def test_replace_words_answers_of_vizwiz(check):
    check(lambda answer: vqa_answer.replace_words(answer, vqa.VIZWIZ), "replace_words:vizwiz")


def test_vizwiz_credit_answers(check):
    def percent(output, human_answers):
        return vqa.vizwiz_summarize([vqa.vizwiz_credit(output, human_answers)])

    check(percent, "vizwiz_credit")


def test_vizwiz_summarize_answers(check):
    check(vqa.vizwiz_summarize)


def test_human_answers_in_capitals_never_match():
    assert vqa.credit("Cat", [{"answer": "Cat", "answer_id": number} for number in range(10)]) == 0.0
    assert vqa.credit("Cat", [{"answer": "cat", "answer_id": number} for number in range(10)]) == 1.0


def test_contractions_of_vizwiz():
    assert vqa_answer.replace_words("dont cant", vqa.VIZWIZ) == "don`t can't"
