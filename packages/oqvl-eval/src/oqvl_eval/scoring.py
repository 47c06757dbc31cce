"""Judge predictions. A verdict depends on the prediction and the profile alone: nothing is random, nothing is guessed.

A generated answer is judged by the rules of its task under the profile (`oqvl_eval.scoring_rules`). Its credit is
between 0 and 1. An answer that only a judge model could grade has no credit, and the report counts it.

In likelihood mode, an answer is right if the right option has the highest likelihood. Under `strict`, options that tie
are `ambiguous`, which counts as wrong. Few other profiles have rules for likelihoods.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

from oqvl_eval.config import Normalisation
from oqvl_eval.item import Item
from oqvl_eval.predictions import Candidate, Prediction
from oqvl_eval.profiles.markers import NeedsJudge
from oqvl_eval.reading.reading import Reading
from oqvl_eval.scoring_rules import strict
from oqvl_eval.scoring_rules.registry import FoundRules
from oqvl_eval.scoring_rules.task_rules import TaskRules, Verdict
from oqvl_shards.errors import ConfigError, DataError


def judge(prediction: Prediction, normalisation: Normalisation = "sum", rules: TaskRules = strict.GENERIC) -> Verdict:
    """Judge one prediction.

    Args:
        prediction: The prediction.
        normalisation: How likelihoods of options of different length are compared. Unused for generated answers.
        rules: The rules of the item's task. The default is the profile `strict`.

    Raises:
        DataError: If the prediction has neither a text nor likelihoods.
        ConfigError: If the rules do not know likelihoods, or `normalisation` is `pmi` and the options were not scored
            under blank pictures.
    """
    item = prediction.item
    if prediction.candidates:
        option = _chosen_option(prediction, normalisation, rules)
        if option is None:
            return Verdict(item, Reading("ambiguous", "", "likelihood"), 0.0)
        name = item.option_names[option]
        return Verdict(item, Reading("read", name, "likelihood"), float(name == item.answer))
    if prediction.output is None:
        raise DataError(
            f"the prediction for item {item.item_id!r} has neither an output nor likelihoods", hint="evaluate again"
        )
    output = rules.prepare(prediction.output) if rules.prepare else prediction.output
    reading = rules.read(item, output)
    credit = rules.grade(item, output, reading)
    if isinstance(credit, NeedsJudge):
        return Verdict(item, reading, 0.0, output, needs_judge=True)
    return Verdict(item, reading, credit, output)


def judge_all(
    predictions: Sequence[Prediction], rules: FoundRules, normalisation: Normalisation = "sum"
) -> list[Verdict]:
    """Judge the predictions of one run, in order; see `judge`.

    An output that several items with the same options and answer share is judged once.
    """
    seen: dict[Hashable, Verdict] = {}
    verdicts = []
    for prediction in predictions:
        item = prediction.item
        rules_of_item = rules.of(item)
        if prediction.candidates or rules_of_item.uses_metadata:
            verdicts.append(judge(prediction, normalisation, rules_of_item))
            continue
        key = (prediction.output, item.choices, item.answer, item.scoring_rule, _accepted(item))
        known = seen.get(key)
        if known is None:
            known = seen[key] = judge(prediction, normalisation, rules_of_item)
            verdicts.append(known)
        else:
            verdicts.append(Verdict(item, known.reading, known.credit, known.output, known.needs_judge))
    return verdicts


def most_likely(candidates: Sequence[Candidate], normalisation: Normalisation) -> int | None:
    """Return the index of the option with the highest likelihood, or None if several options tie.

    Raises:
        ConfigError: If `normalisation` is `pmi` and the options were not scored under blank pictures.
    """
    return strict.choose(option_logprobs(candidates, normalisation))


def option_logprobs(candidates: Sequence[Candidate], normalisation: Normalisation) -> list[float]:
    """Return the log-likelihood of each option, minus infinity for an option that was not scored.

    1. Normalise the log-probability of each continuation.
    2. Add up the probabilities of the continuations that stand for the same option (" A" and "A").
    3. Under `pmi`, subtract the option's log-probability under blank pictures.

    Raises:
        ConfigError: If `normalisation` is `pmi` and the options were not scored under blank pictures.
    """
    merged = _by_option(candidates, [_normalised(candidate, normalisation) for candidate in candidates])
    if normalisation == "pmi":
        blanks = _by_option(candidates, [_blank_logprob(candidate) for candidate in candidates])
        merged = {choice: value - blanks[choice] for choice, value in merged.items()}
    return [merged.get(choice, -math.inf) for choice in range(max(merged) + 1)]


def has_blank(predictions: Sequence[Prediction]) -> bool:
    """Return whether every option was also scored under blank pictures, which `pmi` needs."""
    return all(candidate.blank_logprob is not None for prediction in predictions for candidate in prediction.candidates)


def _by_option(candidates: Sequence[Candidate], values: Sequence[float]) -> dict[int, float]:
    """Add up the probabilities of each option's continuations. `values` and the result are logarithms."""
    options: dict[int, list[float]] = {}
    for candidate, value in zip(candidates, values, strict=True):
        options.setdefault(candidate.choice, []).append(value)
    return {choice: _log_sum_exp(logarithms) for choice, logarithms in options.items()}


def _blank_logprob(candidate: Candidate) -> float:
    if candidate.blank_logprob is None:
        raise ConfigError(
            "normalisation is pmi, but the options were not scored under blank pictures",
            hint="evaluate again with score_blank=true, or choose another normalisation",
        )
    return candidate.blank_logprob


def _chosen_option(prediction: Prediction, normalisation: Normalisation, rules: TaskRules) -> int | None:
    if rules.choose is None:
        raise ConfigError(
            f"{rules.source} has no rule for likelihoods, which is what item {prediction.item.item_id!r} was asked for",
            hint="score with the profile strict, or evaluate again with mode=generate",
        )
    return rules.choose(option_logprobs(prediction.candidates, normalisation))


def _accepted(item: Item) -> tuple[str, ...]:
    """Return the accepted answers of an open question, by which its answers are graded."""
    return item.accepted_answers if item.scoring_rule == "short_answer" else ()


def _normalised(candidate: Candidate, normalisation: Normalisation) -> float:
    if normalisation == "per_token":
        return candidate.logprob / candidate.num_tokens
    if normalisation == "per_byte":
        return candidate.logprob / len(candidate.text.strip().encode())
    return candidate.logprob


def _log_sum_exp(values: Sequence[float]) -> float:
    largest = max(values)
    if largest == -math.inf:
        return largest
    return largest + math.log(sum(math.exp(value - largest) for value in values))
