"""Judge predictions. A verdict depends on the prediction and the profile alone: nothing is random, nothing is guessed.

Under the profile `strict`, an answer is right if:

- `multiple_choice`, generated: `oqvl_eval.reading.choice` reads the right letter.
- `yes_no`, generated: `oqvl_eval.reading.yes_no` reads the right one of yes and no.
- `multiple_choice` or `yes_no`, by likelihood: the right option has the highest likelihood. Options that tie are
  `ambiguous`, which counts as wrong.
- `short_answer`: what `oqvl_eval.reading.text` reads equals an accepted answer in the same normal form.

Only answers that were `read` can be right. The report counts the others by their status.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from oqvl_eval.config import Normalisation
from oqvl_eval.item import Item
from oqvl_eval.predictions import Candidate, Prediction
from oqvl_eval.reading.choice import read_choice
from oqvl_eval.reading.reading import Reading
from oqvl_eval.reading.short_answer import normal_form
from oqvl_eval.reading.text import read_text
from oqvl_eval.reading.yes_no import read_yes_no
from oqvl_shards.errors import ConfigError, DataError


@dataclass(frozen=True)
class Verdict:
    """The judgement of one prediction.

    Args:
        item: The item.
        reading: What was read from the answer.
        is_correct: Whether the answer is correct. Always False unless it was read.
    """

    item: Item
    reading: Reading
    is_correct: bool


def judge(prediction: Prediction, normalisation: Normalisation = "sum") -> Verdict:
    """Judge one prediction under the profile `strict`.

    Args:
        prediction: The prediction.
        normalisation: How likelihoods of options of different length are compared. Unused for generated answers.

    Raises:
        DataError: If the prediction has neither a text nor likelihoods.
        ConfigError: If `normalisation` is `pmi` and the options were not scored under blank pictures.
    """
    item = prediction.item
    if prediction.candidates:
        reading = _most_likely_option(prediction, normalisation)
    elif prediction.output is None:
        raise DataError(
            f"the prediction for item {item.item_id!r} has neither an output nor likelihoods", hint="evaluate again"
        )
    else:
        reading = _read(item, prediction.output)
    return Verdict(item, reading, reading.status == "read" and _is_right(item, reading.answer))


def most_likely(candidates: Sequence[Candidate], normalisation: Normalisation) -> int | None:
    """Return the index of the option with the highest likelihood, or None if several options tie.

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
    best = max(merged.values())
    winners = [choice for choice, value in merged.items() if value == best]
    return winners[0] if len(winners) == 1 else None


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


def _most_likely_option(prediction: Prediction, normalisation: Normalisation) -> Reading:
    option = most_likely(prediction.candidates, normalisation)
    if option is None:
        return Reading("ambiguous", "", "likelihood")
    return Reading("read", prediction.item.option_names[option], "likelihood")


def _read(item: Item, output: str) -> Reading:
    if item.scoring_rule == "multiple_choice":
        return read_choice(output, dict(zip(item.letters, item.choices, strict=True)))
    return read_yes_no(output) if item.scoring_rule == "yes_no" else read_text(output)


def _is_right(item: Item, answer: str) -> bool:
    if item.scoring_rule == "short_answer":
        return normal_form(answer) in {normal_form(accepted) for accepted in item.accepted_answers}
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
