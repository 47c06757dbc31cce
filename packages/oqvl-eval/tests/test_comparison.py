from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oqvl_eval import Item
from oqvl_eval.comparison import difference_interval, discordance, paired
from oqvl_eval.config import JudgingConfig
from oqvl_eval.predictions import Prediction
from oqvl_eval.scoring import judge
from oqvl_shards.errors import DataError

outcomes = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40)


def prediction(index: int, is_right: bool) -> Prediction:
    item = Item(f"q{index}", f"c{index // 3}", ("?",), ("x", "y"), "A")
    return Prediction(item, "A" if is_right else "B", (), "")


def verdicts(pairs):
    return [(judge(prediction(i, a)), judge(prediction(i, b))) for i, (a, b) in enumerate(pairs)]


def test_the_published_table():
    counts = discordance(verdicts([(True, True)] * 3 + [(True, False)] * 2 + [(False, True)] * 4 + [(False, False)]))
    assert (counts.both_correct, counts.only_a, counts.only_b, counts.both_wrong) == (3, 2, 4, 1)


@given(outcomes)
def test_the_interval_is_of_b_minus_a(pairs):
    config = JudgingConfig(num_resamples=100)
    better = difference_interval(verdicts([(a and b, a or b) for a, b in pairs]), config)
    worse = difference_interval(verdicts([(a or b, a and b) for a, b in pairs]), config)
    same = difference_interval(verdicts([(a, a) for a, _ in pairs]), config)
    assert -1 <= worse.low <= worse.high <= 0 <= better.low <= better.high <= 1
    assert (same.low, same.high) == (0.0, 0.0)


def test_pairs_follow_the_first_run():
    a = [prediction(index, True) for index in range(4)]
    assert [second.item.item_id for _, second in paired(a, list(reversed(a)))] == ["q0", "q1", "q2", "q3"]


def test_other_items_are_refused():
    a = [prediction(index, True) for index in range(4)]
    with pytest.raises(DataError, match=r"1 only in A \['q3'\], 0 only in B \[\]"):
        paired(a, a[:3])
    moved = [*a[:3], replace(a[3], item=replace(a[3].item, cluster_id="elsewhere"))]
    with pytest.raises(DataError, match="1 items have different options, answers or clusters in B; the first is 'q3'"):
        paired(a, moved)


@given(outcomes)
def test_the_table_counts_every_item_once_and_mirrors(pairs):
    counts = discordance(verdicts(pairs))
    assert counts.both_correct + counts.only_a + counts.only_b + counts.both_wrong == len(pairs)
    assert counts.both_correct + counts.only_a == sum(a for a, _ in pairs)
    mirrored = discordance(verdicts([(b, a) for a, b in pairs]))
    assert (mirrored.only_a, mirrored.only_b) == (counts.only_b, counts.only_a)


def test_items_of_one_cluster_are_resampled_together():
    # Clusters of three: B wins the first and loses the second, so a resample's difference is 1, 0 or -1.
    config = JudgingConfig(num_resamples=4000, confidence=0.4)
    interval = difference_interval(verdicts([(False, True)] * 3 + [(True, False)] * 3), config)
    assert (interval.low, interval.high) == (0.0, 0.0)
    wide = difference_interval(verdicts([(False, True)] * 3 + [(True, False)] * 3), JudgingConfig(num_resamples=4000))
    assert (wide.low, wide.high) == (-1.0, 1.0)
