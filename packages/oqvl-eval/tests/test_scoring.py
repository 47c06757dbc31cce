from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oqvl_eval import Item
from oqvl_eval.predictions import Candidate, Prediction, checked_candidates
from oqvl_eval.scoring import has_blank, judge, judge_all, most_likely, option_logprobs
from oqvl_eval.scoring_rules import strict
from oqvl_eval.scoring_rules.registry import find_rules
from oqvl_shards.errors import ConfigError, DataError

CHOICE = Item("q", "q", ("?",), ("an apple", "a pear"), "B")
YES_OR_NO = Item("q", "q", ("?",), ("yes", "no"), "no", rule="yes_no")
OPEN = Item("q", "q", ("?",), (), "2", metadata={"accepted_answers": ["Two"]})


def verdict(item, output):
    return judge(Prediction(item, output, (), ""))


@pytest.mark.parametrize(
    ("item", "output", "is_correct", "status"),
    [
        (CHOICE, " B", True, "read"),
        (CHOICE, "A", False, "read"),
        (CHOICE, "no idea", False, "refused"),
        (CHOICE, "(A) or (B)", False, "ambiguous"),
        (YES_OR_NO, "No, there is none.", True, "read"),
        (YES_OR_NO, "yes", False, "read"),
        (YES_OR_NO, "Perhaps", False, "unread"),
        (YES_OR_NO, "Yes and no", False, "ambiguous"),
        (OPEN, "2.", True, "read"),
        (OPEN, "The answer is two", True, "read"),
        (OPEN, "3", False, "read"),
        (OPEN, "", False, "no_answer"),
    ],
)
def test_generated_answers(item, output, is_correct, status):
    found = verdict(item, output)
    assert (found.is_correct, found.reading.status) == (is_correct, status)


def test_the_letter_must_not_hide_in_another_word():
    assert not verdict(CHOICE, "Both are red").is_correct


def candidates(*rows):
    return tuple(Candidate(*row) for row in rows)


def test_normalisations_can_disagree():
    scored = candidates((0, "pear", -2.0, 1), (1, "prickly pear", -3.0, 3), (2, "a" * 40, -5.0, 2))
    assert most_likely(scored, "sum") == 0
    assert most_likely(scored, "per_token") == 1
    assert most_likely(scored, "per_byte") == 2


def test_bytes_are_counted_without_the_leading_space_and_in_utf8():
    scored = candidates((0, " ab", -2.0, 1), (1, "\u00e9\u00e9", -3.9, 1))
    assert most_likely(scored, "per_byte") == 1  # -1.0 per byte against -0.975


def test_pmi_keeps_what_the_pictures_add():
    common, rare = (0, "cat", -1.0, 1, -0.5), (1, "ocelot", -4.0, 2, -9.0)
    assert most_likely(candidates(common, rare), "sum") == 0
    assert most_likely(candidates(common, rare), "pmi") == 1


def test_pmi_adds_the_forms_of_an_option_before_it_compares():
    rows = [(0, " A", 0.3, 0.1), (0, "A", 0.1, 0.1), (1, " B", 0.01, 0.001), (1, "B", 0.3, 0.299)]
    scored = [Candidate(option, text, math.log(p), 1, math.log(blank)) for option, text, p, blank in rows]
    assert most_likely(scored, "pmi") == 0  # 0.4 / 0.2 against 0.31 / 0.3; form by form it would be 13 against 11


def test_pmi_needs_blank_pictures():
    with pytest.raises(ConfigError, match="not scored under blank pictures"):
        most_likely(candidates((0, "cat", -1.0, 1)), "pmi")


def test_a_letter_with_and_without_space_is_one_answer():
    probabilities = [(0, " A", 0.3), (0, "A", 0.1), (1, " B", 0.35), (1, "B", 0.01)]
    scored = [Candidate(choice, text, math.log(p), 1) for choice, text, p in probabilities]
    assert most_likely(scored, "sum") == 0


def test_options_that_tie_are_ambiguous_and_wrong():
    tied = candidates((0, " A", -1.0, 1), (1, " B", -1.0, 1))
    assert most_likely(tied, "sum") is None
    assert not judge(Prediction(CHOICE, None, tied, "")).is_correct


def test_impossible_options_do_not_break_the_sum():
    scored = candidates((0, " A", -math.inf, 1), (0, "A", -math.inf, 1), (1, " B", -9.0, 1))
    assert most_likely(scored, "sum") == 1


def test_yes_and_no_by_likelihood():
    scored = candidates((0, " yes", -2.0, 1), (0, "Yes", -2.0, 1), (1, " no", -1.5, 1), (1, "No", -9.0, 1))
    assert judge(Prediction(YES_OR_NO, None, scored, "")).reading.answer == "yes"


@given(st.lists(st.floats(-50, 0), min_size=2, max_size=6, unique=True), st.floats(-40, 0))
def test_a_shift_of_all_likelihoods_changes_nothing(logprobs, shift):
    scored = [Candidate(index, "x", value, 1) for index, value in enumerate(logprobs)]
    shifted = [Candidate(index, "x", 4 * value + shift, 1) for index, value in enumerate(logprobs)]
    best = max(range(len(logprobs)), key=lambda index: logprobs[index])
    assert most_likely(scored, "sum") == best
    assert most_likely(shifted, "sum") in (best, None)  # rounding may make a tie, never another winner


def test_a_prediction_must_hold_an_answer():
    with pytest.raises(DataError, match="neither an output nor likelihoods"):
        judge(Prediction(CHOICE, None, (), ""))


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ([(-1.0, 1)], "scored 1 continuations, expected 2"),
        ([(-1.0, 1), (math.nan, 1)], "'B': the answerer returned log-probability nan"),
        ([(-1.0, 1), (0.5, 1)], r"log-probability 0\.5"),
        ([(-1.0, 1), (-0.5, 0)], r"over 0 token"),
    ],
)
def test_an_answerer_that_returns_nonsense_is_named(scores, message):
    with pytest.raises(DataError, match=message):
        checked_candidates(CHOICE, [(0, "A"), (1, "B")], scores)


@given(st.lists(st.tuples(st.integers(0, 2), st.floats(0.01, 1.0)), min_size=2, max_size=8))
def test_the_forms_of_an_option_are_added_as_probabilities(forms):
    scored = [Candidate(option, "x", math.log(probability), 1) for option, probability in forms]
    totals = {option: sum(p for other, p in forms if other == option) for option, _ in forms}
    first, *others = sorted(totals.values(), reverse=True)
    if not others or first - others[0] > 1e-9:
        assert totals[most_likely(scored, "sum") or 0] == pytest.approx(first)


@pytest.mark.parametrize(("normalisation", "winner"), [("sum", 1), ("per_token", 0), ("per_byte", 1)])
def test_the_order_of_the_continuations_does_not_matter(normalisation, winner):
    scored = candidates((0, " A", -1.5, 2), (0, "A", -3.0, 1), (1, " B", -1.0, 1), (1, "B", -9.0, 4))
    for order in itertools.permutations(scored):
        assert most_likely(order, normalisation) == winner


def test_pmi_is_had_only_when_every_option_has_a_reference():
    full, bare = Candidate(0, "A", -1.0, 1, -2.0), Candidate(1, "B", -1.0, 1)
    assert has_blank([Prediction(CHOICE, None, (full,), "")])
    assert not has_blank([Prediction(CHOICE, None, (full, bare), "")])


def test_what_several_items_share_is_read_once():
    outputs, num_read = ["B", "B", "(A) or (B)", "B"], []
    rules = find_rules("strict", "pets", {"multiple_choice"})
    counting = replace(rules.together, read=lambda item, output: num_read.append(output) or strict.read(item, output))
    counted = replace(rules, by_rule={"multiple_choice": counting})
    items = [replace(CHOICE, item_id=str(number)) for number in range(3)] + [replace(CHOICE, answer="A")]
    predictions = [Prediction(item, output, (), "") for item, output in zip(items, outputs, strict=True)]
    verdicts = judge_all(predictions, counted)
    assert [verdict.item for verdict in verdicts] == items
    assert [verdict.credit for verdict in verdicts] == [1.0, 1.0, 0.0, 0.0]
    assert verdicts == [judge(prediction) for prediction in predictions]
    assert num_read == ["B", "(A) or (B)", "B"]


def test_items_of_different_rules_are_judged_by_their_own():
    predictions = [Prediction(item, "2.", (), "") for item in (CHOICE, OPEN)]
    rules = find_rules("strict", "mine", {"multiple_choice", "short_answer"})
    assert [verdict.credit for verdict in judge_all(predictions, rules)] == [0.0, 1.0]


def test_options_that_were_not_scored_are_impossible():
    assert option_logprobs(candidates((1, "B", -1.0, 1)), "sum") == [-math.inf, -1.0]


def test_profiles_choose_by_their_own_rules():
    tied = Prediction(CHOICE, None, candidates((0, " A", -1.0, 1), (1, " B", -1.0, 1)), "")
    ai2d = find_rules("paper", "ai2d", {"multiple_choice"})
    assert judge(tied, rules=ai2d.together).reading.answer == "A"
    with pytest.raises(ConfigError, match="lmms-eval 75571cf has no rule for likelihoods"):
        judge(tied, rules=find_rules("lmms", "ai2d", {"multiple_choice"}).together)
