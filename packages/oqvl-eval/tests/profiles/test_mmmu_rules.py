from __future__ import annotations

import pytest

from oqvl_eval.profiles import mmmu_rules
from oqvl_eval.profiles.markers import Draw
from oqvl_eval.profiles.mmmu_rules import LOOSE_FORMS, OFFICIAL_FORMS

FRUIT = ["apple", "pear", "prickly pear", "fig"]


def test_find_numbers(check):
    check(mmmu_rules.find_numbers)


def test_normalize(check):
    check(mmmu_rules.normalize)


def test_parse_open(check):
    check(lambda output: sorted(map(repr, mmmu_rules.parse_open(output))), "parse_open")


@pytest.mark.parametrize(
    ("output", "official", "loose"),
    [
        ("A, no: (B)", "B", "B"),
        ("NASA", Draw(4), "A"),
        ("B. a pear", Draw(4), "B"),
        ("A or B", "B", "B"),
        ("it looks like a FIG to me", "D", "D"),
        ("it looks like a pear", Draw(4), Draw(4)),
        ("", Draw(4), Draw(4)),
    ],
)
def test_the_forms_of_a_letter(output, official, loose):
    assert mmmu_rules.read_letter(output, FRUIT, OFFICIAL_FORMS) == official
    assert mmmu_rules.read_letter(output, FRUIT, LOOSE_FORMS) == loose


def test_a_shorter_option_wins_if_it_ends_where_the_longer_one_does():
    assert mmmu_rules.read_letter("so it is a prickly pear, as one sees", FRUIT[1:3], OFFICIAL_FORMS) == "A"


def test_only_line_breaks_split_an_open_answer():
    assert mmmu_rules.key_phrases("The area is 3. So it is 4") == ["4"]
    assert mmmu_rules.key_phrases("The area is 3.\nSo it is 4") == ["3.", "4"]


def test_an_open_answer_is_right_if_the_gold_is_anywhere_in_it():
    assert mmmu_rules.open_credit("certainly not 12", "12") == 1.0
    assert mmmu_rules.open_credit("12.004", "12") == 1.0
    assert mmmu_rules.open_credit("a prickly pear", ["fig", "pear"]) == 1.0
    assert mmmu_rules.open_credit("120", "12") == 0.0


def test_summarize_weights_subjects_by_their_answers():
    credits = {"Art": [1.0, 1.0, 0.0], "Math": [0.0], "Astrology": [1.0]}
    accuracies = dict(mmmu_rules.summarize(credits, 3))
    assert accuracies["Art"] == accuracies["Overall-Art and Design"] == 0.667
    assert accuracies["Overall-Business"] == 0.0
    assert accuracies["Overall"] == 0.6
    assert "Astrology" not in accuracies
