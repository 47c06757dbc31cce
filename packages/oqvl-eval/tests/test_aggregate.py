from __future__ import annotations

import pytest

from oqvl_eval import Item
from oqvl_eval.aggregate import by_category, by_cluster, chance_level, reading_counts, yes_no
from oqvl_eval.config import JudgingConfig
from oqvl_eval.item import Rule
from oqvl_eval.predictions import Prediction
from oqvl_eval.scoring import judge

CONFIG = JudgingConfig(num_resamples=500)


def asked(outputs, gold, category="", choices=("yes", "no"), rule: Rule | None = "yes_no"):
    return [
        judge(Prediction(Item(f"{category}{i}", f"c{i // 2}", ("?",), choices, right, category, rule), said, (), ""))
        for i, (said, right) in enumerate(zip(outputs, gold, strict=True))
    ]


def test_precision_recall_and_f1_by_hand():
    # yes/yes, yes/no, no/yes, no/no, unread/yes: 1 true positive, 1 false positive, 2 false negatives
    found = yes_no(asked(["yes", "yes", "no", "no", "?"], ["yes", "no", "yes", "no", "yes"]))
    assert found is not None
    assert (found.precision, found.recall) == (0.5, pytest.approx(1 / 3))
    assert found.f1 == pytest.approx(2 * 0.5 * (1 / 3) / (0.5 + 1 / 3))
    assert (found.yes_ratio, found.gold_yes_ratio) == (0.4, 0.6)


def test_the_mean_over_categories_is_not_the_f1_of_all():
    easy = asked(["yes", "no"], ["yes", "no"], "random")
    hard = asked(["yes", "yes", "yes", "yes"], ["yes", "no", "no", "no"], "adversarial")
    found = yes_no(easy + hard)
    assert found is not None
    assert found.mean_category_f1 == pytest.approx((1.0 + 0.4) / 2)
    assert found.f1 == pytest.approx(2 * 2 / (5 + 2))


def test_never_yes_is_no_division_by_zero():
    found = yes_no(asked(["no", "no"], ["no", "no"]))
    assert found is not None
    assert (found.precision, found.recall, found.f1) == (0.0, 0.0, 0.0)


def test_other_items_have_no_yes_or_no():
    letters = asked(["A"], ["A"], choices=("x", "y"), rule=None)
    assert yes_no(letters) is None
    assert by_category(letters, 0.95) == {}
    assert by_cluster(letters, CONFIG) is None


def test_rotations_count_when_all_are_right():
    # clusters of two: (right, right), (right, wrong), (wrong, right)
    found = by_cluster(asked(["yes", "yes", "yes", "no", "no", "yes"], ["yes"] * 6), CONFIG)
    assert found is not None
    assert (found.num_clusters, found.all_correct.num_correct) == (3, 1)


def test_chance_of_items_with_different_numbers_of_options():
    two = asked(["A"], ["A"], choices=("x", "y"), rule=None)
    four = asked(["A"], ["A"], choices=tuple("wxyz"), rule=None)
    open_question = asked(["x"], ["x"], choices=(), rule=None)
    assert chance_level(two + four) == pytest.approx(0.375)
    assert chance_level(two + open_question) == pytest.approx(0.25)
    assert chance_level(open_question) is None


def test_the_reading_counts_add_up():
    verdicts = asked(["A", "(A) or (B)", "what?", "x"], ["A", "A", "B", "B"], choices=("x", "y"), rule=None)
    found = reading_counts(verdicts)
    assert (found.parsed, found.ambiguous, found.unparsed) == (2, 1, 1)
    assert sum(found.by_rule.values()) == 4
    assert (found.gold_letters, found.read_letters) == ({"A": 2, "B": 2}, {"A": 2})
