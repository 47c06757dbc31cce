from __future__ import annotations

import math

import pytest

from oqvl_eval.profiles.official import pope


def test_credit_answers(check):
    check(pope.credit)


def test_summarize_answers(check):
    def figures(rows):
        found = pope.summarize(rows)
        return "undefined" if any(map(math.isnan, found.values())) else found

    check(figures, "summarize")


@pytest.mark.parametrize("output", ["", "NO", "Not so", "no!", "No\n", "I cannot say", "Yes. No"])
def test_what_means_yes(output):
    assert pope.reads_yes(output)


@pytest.mark.parametrize("output", ["No", "no, there is none", "It is not there. Yes", "yes and no"])
def test_what_means_no(output):
    assert not pope.reads_yes(output)
