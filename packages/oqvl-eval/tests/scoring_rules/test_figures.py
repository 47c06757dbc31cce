from __future__ import annotations

import math

import pytest

from oqvl_eval import Item
from oqvl_eval.profiles.lmms import mmbench
from oqvl_eval.profiles.ngram_match import NgramMatch
from oqvl_eval.profiles.official import mmmu as official_mmmu
from oqvl_eval.reading.reading import Reading
from oqvl_eval.scoring_rules.figures import (
    accuracy,
    circular,
    circular_by_cluster,
    finite,
    mean_of_splits,
    mean_over_categories,
    mmmu,
    ngram_matches,
    per_split,
    yes_no_by_split,
)
from oqvl_eval.scoring_rules.task_rules import Verdict


def verdict(credit, category="", item_id="q", cluster="c", output=""):
    item = Item(item_id, cluster, ("?",), ("a cat", "a dog"), "B", category)
    return Verdict(item, Reading("unread", "", ""), credit, output)


def said(answer, gold, category):
    item = Item("q", "q", ("?",), ("yes", "no"), gold, category, "yes_no")
    status = "read" if answer else "unread"
    return Verdict(item, Reading(status, answer, ""), float(answer == gold))


def test_means():
    verdicts = [verdict(1.0, "x"), verdict(0.25, "x"), verdict(0.0, "y")]
    assert accuracy(verdicts).values["accuracy"] == pytest.approx(1.25 / 3)
    assert mean_over_categories(verdicts).values == {"x": 0.625, "y": 0.0, "mean": 0.3125}


def test_partial_credit_is_not_right_in_circular_evaluation():
    verdicts = [verdict(1.0, cluster="1"), verdict(0.5, cluster="1"), verdict(1.0, cluster="2")]
    assert circular_by_cluster(verdicts).values == {"circular": 0.5, "vanilla": pytest.approx(2.5 / 3)}


def test_questions_that_need_a_judge_are_counted_as_wrong():
    answers = {"1": "B", "1000001": "B", "2": "B", "1000002": "well", "1000003": "B"}
    verdicts = [verdict(float(output == "B"), item_id=index, output=output) for index, output in answers.items()]
    figures = circular(mmbench.circular_credits)(verdicts)
    # Question 3 has no unrotated row.
    assert figures.values == {"circular": 0.5, "vanilla": 0.8, "judge": 0.5}
    assert circular(mmbench.circular_credits)([verdict(1.0, item_id="1000003")]).values["circular"] is None


def test_yes_and_no_by_split():
    verdicts = [said("yes", "yes", "random"), said("no", "no", "random"), said("yes", "no", "popular")]
    verdicts.append(said("", "yes", "popular"))
    figures = yes_no_by_split(verdicts)
    assert figures.values["f1"] == (1.0 + 0.0) / 2
    assert (figures.values["random f1"], figures.values["popular f1"]) == (1.0, 0.0)
    assert (figures.values["accuracy"], figures.values["precision"], figures.values["recall"]) == (0.5, 0.5, 0.5)
    assert (figures.values["yes_ratio"], figures.values["popular yes_ratio"]) == (0.5, 0.5)


def test_undefined_figures_are_none():
    splits = {"random": {"f1": 1.0}, "popular": {"f1": math.nan}}
    assert per_split(splits) == {"random f1": 1.0, "popular f1": None}
    assert mean_of_splits(splits, "f1") is None
    assert (finite(None), finite(0.5)) == (None, 0.5)


def test_mmmu_is_summed_up_by_subject_if_there_are_any():
    aggregate = mmmu(official_mmmu.summarize)
    known = aggregate([verdict(1.0, "Art"), verdict(0.0, "Design"), verdict(0.0, "Cooking")])
    assert (known.values["Art"], known.values["Overall"]) == (1.0, 0.5)
    assert aggregate([verdict(1.0, "Cooking"), verdict(0.0, "Cooking")]).values == {"Overall": 0.5}


def test_covered_texts_are_averaged_over_all_pictures():
    matches = {"one": [NgramMatch("x", 1.0, 1.0)], "two": [NgramMatch("x", 0.0, 0.5), NgramMatch()]}
    aggregate = ngram_matches(lambda found: matches[found.output])
    figures = aggregate([verdict(1.0, output="one"), verdict(0.0, output="two")])
    assert figures.values == {"exact_match": pytest.approx(1 / 3), "jaccard": 0.5}
