from __future__ import annotations

from oqvl_eval.profiles.lmms import mantis


def test_credit_answers(check):
    check(mantis.credit)


def test_nlvr2_has_no_rule_of_its_own():
    assert mantis.credit("True", ["it is false", "it is true"], "B") == 0.0
