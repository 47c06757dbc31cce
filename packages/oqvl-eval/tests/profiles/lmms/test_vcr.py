from __future__ import annotations

import re

from oqvl_eval.profiles.lmms import vcr


def words(text):
    return re.findall(r"\w+|[^\w\s]", text)


def scores(output, covered_text, joiner=" "):
    (match,) = vcr.match(output, [covered_text], words, joiner)
    return match.text, match.exact_match, match.jaccard


def test_match_answers(check):
    check(scores, "match")


def test_match_answers_without_spaces(check):
    check(lambda output, covered_text: scores(output, covered_text, ""), "match:zh")
