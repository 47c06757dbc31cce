from __future__ import annotations

from oqvl_eval.profiles.markers import Draw, NeedsJudge
from oqvl_eval.reading.reading import Reading
from oqvl_eval.scoring_rules.peer_reading import DRAW, JUDGE, peer_reading, search, whole_answer


def test_what_a_step_returned_as_a_reading():
    assert peer_reading("B", "letter") == Reading("read", "B", "letter")
    assert peer_reading(None, "letter") == peer_reading("", "letter") == Reading("unread", "", "no_letter")
    assert peer_reading(Draw(4), "letter") == Reading("unread", "", DRAW)
    assert peer_reading(NeedsJudge(), "letter") == Reading("unread", "", JUDGE)


def test_whole_answers_and_searches():
    assert whole_answer("a dog") == Reading("read", "a dog", "whole_answer")
    assert search("B", is_found=True) == Reading("read", "B", "substring")
    assert search("B", is_found=False) == Reading("unread", "", "no_substring")
