from __future__ import annotations

from oqvl_eval.scoring_rules.words import words


def test_punctuation_marks_are_words():
    assert words("Stop, don't go  now!") == ["Stop", ",", "don", "'", "t", "go", "now", "!"]
    assert words("") == []
