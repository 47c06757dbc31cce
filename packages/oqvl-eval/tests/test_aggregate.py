from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oqvl_eval import Item
from oqvl_eval.aggregate import Accuracy, by_category, by_cluster, chance_level, reading_counts, yes_no
from oqvl_eval.config import JudgingConfig
from oqvl_eval.item import Rule
from oqvl_eval.predictions import Prediction
from oqvl_eval.scoring import judge

CONFIG = JudgingConfig(num_resamples=500)
PETS = ("a cat", "a dog")


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
    verdicts = asked(
        ["A", "(A) or (B)", "what?", "a cat", "no idea", " "], ["A", "A", "B", "B", "A", "B"], "", PETS, None
    )
    found = reading_counts(verdicts)
    assert (found.read, found.ambiguous, found.unread, found.refused, found.no_answer) == (2, 1, 1, 1, 1)
    assert sum(found.by_rule.values()) == 6
    assert (found.gold_letters, found.read_letters) == ({"A": 3, "B": 3}, {"A": 2})


@pytest.mark.parametrize(
    ("true_yes", "false_yes", "false_no", "true_no", "precision", "recall", "f1", "yes_ratio"),
    [
        (40, 10, 20, 30, 40 / 50, 40 / 60, 80 / 110, 0.5),
        (0, 5, 5, 0, 0.0, 0.0, 0.0, 0.5),
        (7, 0, 0, 3, 1.0, 1.0, 1.0, 0.7),
        (0, 0, 4, 6, 0.0, 0.0, 0.0, 0.0),
        (0, 6, 0, 4, 0.0, 0.0, 0.0, 0.6),
        (9, 1, 0, 0, 0.9, 1.0, 18 / 19, 1.0),
    ],
)
def test_tables_of_yes_and_no(true_yes, false_yes, false_no, true_no, precision, recall, f1, yes_ratio):
    said = ["yes"] * (true_yes + false_yes) + ["no"] * (false_no + true_no)
    gold = ["yes"] * true_yes + ["no"] * false_yes + ["yes"] * false_no + ["no"] * true_no
    found = yes_no(asked(said, gold))
    assert found is not None
    assert (found.precision, found.recall) == (pytest.approx(precision), pytest.approx(recall))
    assert (found.f1, found.mean_category_f1) == (pytest.approx(f1), pytest.approx(f1))
    assert found.yes_ratio == pytest.approx(yes_ratio)
    assert found.gold_yes_ratio == pytest.approx((true_yes + false_no) / len(gold))


@given(
    st.lists(st.tuples(st.sampled_from(["yes", "no", "?", "yes and no"]), st.sampled_from(["yes", "no"])), min_size=1)
)
def test_unread_answers_cost_recall_and_accuracy_but_not_precision(answers):
    as_asked = yes_no(asked([said for said, _ in answers], [gold for _, gold in answers]))
    read = [(said, gold) for said, gold in answers if said in ("yes", "no")]
    assert as_asked is not None
    if read:
        read_alone = yes_no(asked([said for said, _ in read], [gold for _, gold in read]))
        assert read_alone is not None
        assert as_asked.precision == read_alone.precision
        assert as_asked.recall <= read_alone.recall
    verdicts = asked([said for said, _ in answers], [gold for _, gold in answers])
    accuracy = Accuracy.of((verdict.is_correct for verdict in verdicts), 0.95)
    assert accuracy.num_correct == sum(said == gold for said, gold in answers)


@given(st.lists(st.sampled_from(["A", "B", "(A) or (B)", "what?", "a cat", "a dog", "no idea", ""]), min_size=1))
def test_every_answer_is_counted_once(outputs):
    counts = reading_counts(asked(outputs, ["A"] * len(outputs), choices=PETS, rule=None))
    statuses = (counts.read, counts.unread, counts.ambiguous, counts.refused, counts.no_answer)
    assert sum(statuses) == len(outputs) == sum(counts.by_rule.values())
    assert sum(counts.read_letters.values()) == counts.read
    assert counts.gold_letters == {"A": len(outputs)}


def test_categories_are_sorted_and_partition_the_items():
    verdicts = asked(["yes", "no"], ["yes", "yes"], "b") + asked(["no"], ["no"], "a")
    found = by_category(verdicts, 0.95)
    assert [(name, one.num_items, one.num_correct) for name, one in found.items()] == [("a", 1, 1), ("b", 2, 1)]


def test_clusters_are_resampled_whole():
    found = by_cluster(asked(["yes", "yes", "no", "no"], ["yes"] * 4), JudgingConfig(num_resamples=4000))
    assert found is not None
    # Two clusters of two: all right, all wrong. A resample has 0, 2 or 4 right answers of 4.
    assert (found.bootstrap.low, found.bootstrap.high) == (0.0, 1.0)
    assert (found.all_correct.num_items, found.all_correct.accuracy) == (2, 0.5)
