"""Judging predictions: a pure function of (predictions, profile), without randomness and without guessing.

Profile `strict`:

- `multiple_choice`, generated: the letter that `oqvl_eval.extraction.extract_letter` reads is the right one.
- `yes_no`, generated: the first sentence says the right one of yes and no, and not the other.
- Either by likelihood: the option with the highest likelihood is the right one. Options that tie are `ambiguous`,
  which is wrong.
- `short_answer`: the normalised first line equals an accepted answer, normalised the same way.

What cannot be read, or can be read in two ways, is wrong and counted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from oqvl_eval.config import Normalisation
from oqvl_eval.extraction import Extraction, extract_letter, extract_short_answer, extract_yes_no, normalize
from oqvl_eval.item import Item
from oqvl_eval.predictions import Candidate, Prediction
from oqvl_shards.errors import ConfigError, DataError


@dataclass(frozen=True)
class Verdict:
    """The judgement of one prediction.

    Args:
        item: The item.
        extraction: What was read from the answer.
        is_correct: Whether that is right; False unless the answer was parsed.
    """

    item: Item
    extraction: Extraction
    is_correct: bool


def judge(prediction: Prediction, normalisation: Normalisation = "sum") -> Verdict:
    """Judge one prediction by profile `strict`.

    Args:
        prediction: The prediction.
        normalisation: How likelihoods of options of different length are compared; unused for generated answers.

    Raises:
        DataError: When the prediction holds neither a text nor likelihoods.
    """
    item = prediction.item
    if prediction.candidates:
        extraction = _most_likely_option(prediction, normalisation)
    elif prediction.output is None:
        raise DataError(f"prediction for item {item.item_id!r} holds neither an output nor likelihoods")
    else:
        extraction = _read(item, prediction.output)
    return Verdict(item, extraction, extraction.status == "parsed" and _is_right(item, extraction.answer))


def most_likely(candidates: Sequence[Candidate], normalisation: Normalisation) -> int | None:
    """Return the index of the option with the highest likelihood; None when several have it.

    Each continuation's log-probability is normalised; the probabilities of continuations that stand for one option
    (" A" and "A") are added up. By `pmi`, an option's log-probability under blank pictures is taken off.

    Raises:
        ConfigError: When `normalisation` is `pmi` and the options were not scored under blank pictures.
    """
    merged = _by_option(candidates, [_normalised(candidate, normalisation) for candidate in candidates])
    if normalisation == "pmi":
        blanks = _by_option(candidates, [_blank_logprob(candidate) for candidate in candidates])
        merged = {choice: value - blanks[choice] for choice, value in merged.items()}
    best = max(merged.values())
    winners = [choice for choice, value in merged.items() if value == best]
    return winners[0] if len(winners) == 1 else None


def has_blank(predictions: Sequence[Prediction]) -> bool:
    """Return whether every option was scored under blank pictures too, so that `pmi` can be had."""
    return all(candidate.blank_logprob is not None for prediction in predictions for candidate in prediction.candidates)


def _by_option(candidates: Sequence[Candidate], values: Sequence[float]) -> dict[int, float]:
    """Add the probabilities of the continuations of each option up, given and returned as logarithms."""
    options: dict[int, list[float]] = {}
    for candidate, value in zip(candidates, values, strict=True):
        options.setdefault(candidate.choice, []).append(value)
    return {choice: _log_sum_exp(logarithms) for choice, logarithms in options.items()}


def _blank_logprob(candidate: Candidate) -> float:
    if candidate.blank_logprob is None:
        raise ConfigError(
            "normalisation=pmi, but the options were not scored under blank pictures",
            hint="evaluate again with score_blank=true, or choose another normalisation",
        )
    return candidate.blank_logprob


def _most_likely_option(prediction: Prediction, normalisation: Normalisation) -> Extraction:
    option = most_likely(prediction.candidates, normalisation)
    if option is None:
        return Extraction("ambiguous", "likelihood")
    return Extraction("parsed", "likelihood", prediction.item.option_names[option])


def _read(item: Item, output: str) -> Extraction:
    if item.scoring_rule == "multiple_choice":
        return extract_letter(output, item.choices)
    if item.scoring_rule == "yes_no":
        return extract_yes_no(output)
    return extract_short_answer(output)


def _is_right(item: Item, answer: str) -> bool:
    if item.scoring_rule == "short_answer":
        return answer in {normalize(accepted) for accepted in item.accepted_answers}
    return answer == item.answer


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
