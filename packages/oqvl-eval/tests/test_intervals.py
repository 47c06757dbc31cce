from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oqvl_eval.intervals import cluster_bootstrap, wilson_interval

proportions = st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


def test_wilson_of_a_published_example():
    # R. G. Newcombe, Statistics in Medicine 17 (1998), table I: 81 of 263 gives 0.2553 to 0.3662.
    interval = wilson_interval(81, 263)
    assert (round(interval.low, 4), round(interval.high, 4)) == (0.2553, 0.3662)
    # the same table, 15 of 148: 0.0624 to 0.1605; 0 of 20: 0 to 0.1611; 1 of 29: 0.0061 to 0.1718
    assert [round(x, 4) for x in vars(wilson_interval(15, 148)).values()] == [0.0624, 0.1605]
    assert [round(x, 4) for x in vars(wilson_interval(0, 20)).values()] == [0.0, 0.1611]
    assert [round(x, 4) for x in vars(wilson_interval(1, 29)).values()] == [0.0061, 0.1718]


@given(proportions, st.floats(0.5, 0.999))
def test_wilson_holds_the_proportion_and_solves_its_equation(counts, confidence):
    correct, n = counts
    interval = wilson_interval(correct, n, confidence)
    p = correct / n
    assert 0 <= interval.low <= p <= interval.high <= 1
    half = (interval.high - interval.low) / 2
    if 0 < correct < n:
        # Each bound is the proportion under which the observed one is just z standard errors away.
        distances = [abs(p - bound) / math.sqrt(bound * (1 - bound) / n) for bound in (interval.low, interval.high)]
        assert distances[0] == pytest.approx(distances[1], rel=1e-6)
        assert half > 0


@given(proportions)
def test_wilson_is_symmetric_in_right_and_wrong(counts):
    correct, n = counts
    interval, mirrored = wilson_interval(correct, n), wilson_interval(n - correct, n)
    assert interval.low == pytest.approx(1 - mirrored.high)
    assert interval.high == pytest.approx(1 - mirrored.low)


def bootstrap(values, seed=0, num_resamples=4000):
    return cluster_bootstrap(values, num_resamples=num_resamples, seed=seed)


def test_bootstrap_repeats_itself_and_follows_its_seed():
    values = [(index % 30, float(index % 3 == 0)) for index in range(100)]
    assert bootstrap(values) == bootstrap(values)
    assert bootstrap(values) == bootstrap(list(reversed(values)))
    assert bootstrap(values, seed=1) != bootstrap(values)


def test_bootstrap_agrees_with_drawing_clusters_one_by_one():
    rng = np.random.default_rng(3)
    sizes = rng.integers(1, 5, size=60)
    values = [
        (cluster, float(rng.random() < 0.2 + 0.6 * (cluster % 2)))
        for cluster in range(60)
        for _ in range(sizes[cluster])
    ]
    by_cluster = {cluster: [value for name, value in values if name == cluster] for cluster in range(60)}
    means = []
    for _ in range(4000):
        drawn = [by_cluster[cluster] for cluster in rng.integers(0, 60, size=60)]
        means.append(sum(map(sum, drawn)) / sum(map(len, drawn)))
    low, high = np.quantile(means, [0.025, 0.975])
    interval = bootstrap(values, num_resamples=20_000)
    assert interval.low == pytest.approx(low, abs=0.01)
    assert interval.high == pytest.approx(high, abs=0.01)


def test_clusters_that_agree_widen_the_interval():
    alone = bootstrap([(index, float(index % 2)) for index in range(400)])
    in_tens = bootstrap([(index // 10, float(index // 10 % 2)) for index in range(400)])
    assert in_tens.high - in_tens.low == pytest.approx((alone.high - alone.low) * math.sqrt(10), rel=0.1)


@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from([-1.0, 0.0, 1.0])), min_size=1, max_size=60))
def test_bootstrap_stays_between_the_extremes(values):
    interval = bootstrap(values, num_resamples=200)
    assert min(v for _, v in values) <= interval.low <= interval.high <= max(v for _, v in values)


def middle(values, share):
    """The interval that holds the middle `share` of the resampled means."""
    interval = cluster_bootstrap(values, num_resamples=20_000, seed=5, confidence=share)
    return interval.low, interval.high


def test_two_clusters_have_three_possible_means():
    # 0, 1/2 and 1 with probabilities 1/4, 1/2 and 1/4.
    values = [("right", 1.0), ("wrong", 0.0)]
    assert middle(values, 0.95) == (0.0, 1.0)
    assert middle(values, 0.6) == (0.0, 1.0)  # the quantiles 0.2 and 0.8
    assert middle(values, 0.4) == (0.5, 0.5)  # the quantiles 0.3 and 0.7


def test_large_clusters_weigh_as_much_as_their_items():
    # Drawn twice, once each, or never, the cluster of three gives 1, 3/4 or 0.
    values = [("large", 1.0), ("large", 1.0), ("large", 1.0), ("small", 0.0)]
    assert middle(values, 0.4) == (0.75, 0.75)
    assert middle(values, 0.95) == (0.0, 1.0)


def test_a_single_cluster_leaves_nothing_to_draw():
    assert middle([("only", 1.0), ("only", 0.0), ("only", 0.0), ("only", 0.0)], 0.95) == (0.25, 0.25)


def test_clusters_with_equal_scores_have_no_spread():
    assert middle([(cluster, value) for cluster in range(7) for value in (1.0, 0.0)], 0.95) == (0.5, 0.5)


@given(st.floats(0.5, 0.99))
def test_wilson_of_a_single_item_has_a_closed_form(confidence):
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    right, wrong = wilson_interval(1, 1, confidence), wilson_interval(0, 1, confidence)
    assert (right.low, right.high) == (pytest.approx(1 / (1 + z * z)), 1.0)
    assert (wrong.low, wrong.high) == (0.0, pytest.approx(z * z / (1 + z * z)))


def test_an_interval_prints_in_per_cent():
    assert str(wilson_interval(81, 263)) == "[25.5, 36.6]"
