"""The scorer `mlm`: a vision-language model is asked how good a pair is, one number per metric.

The method and its four metrics: Wang et al., 2024, "Finetuned Multimodal Language Models Are High-Quality Image-Text
Data Filters" (arXiv 2403.02677). An image is decoded once for all metrics, and the judge sees it once.

Answers are read in one of two ways:

- `text`: the number in the first line, from 0 to `max_score`. A number that the limit on new tokens may have cut short,
  such as "10" of "100", does not count.
- `expected`: the mean of the numbers that could have come first, weighted by their probabilities. Every number must be
  one token. A judge that writes digit by digit has such scores up to 9 only, which the prompt set `digit` asks for.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from oqvl_filter.scorers.judges.judge import Answer, JudgeReason, VisionJudge
from oqvl_filter.scorers.judges.prompt_set import PromptSet
from oqvl_filter.scorers.scorer import BaseScorerConfig, Row
from oqvl_shards.binding import bind
from oqvl_shards.config import Names
from oqvl_shards.errors import ConfigError
from oqvl_shards.manifest import FieldSpec
from oqvl_shards.tar.sample import ReadLimits, SampleError

if TYPE_CHECKING:
    from PIL import Image

    from oqvl_filter.pool import PoolSample
    from oqvl_shards.tar.reader import ShardReader

_MAX_ANSWER = 64
"""Characters of an answer that are stored."""

_log = logging.getLogger(__name__)

_NUMBER_LINE = re.compile(r"([0-9]+)(?:\s*/\s*[0-9]+)?[\s.,;]*")
"""A line that is a score: 85, "85.", "85, " or "85/100"."""


class MlmScorerConfig(BaseScorerConfig):
    """The scorer `mlm`: a vision-language model says how good a pair is, one number per metric."""

    name: Literal["mlm"] = Field(description="which scorer: mlm")
    # Which judge it is and where it runs does not decide the scores; its fingerprint records what does.
    judge: str = Field(
        default="oqvl_filter.scorers.judges.transformers:TransformersJudge",
        description="dotted path of the judge's factory: this one, "
        "oqvl_filter.scorers.judges.endpoint:EndpointJudge, or yours",
        json_schema_extra={"lineage": False},
    )
    options: dict[str, Any] = Field(
        default_factory=dict,
        description="keyword arguments of the factory, e.g. scorer.options.model=PATH",
        json_schema_extra={"lineage": False},
    )
    prompts: str = Field(
        default="general",
        description="prompt set: general (0 to 100), digit (0 to 9), or the path of a TOML file",
        json_schema_extra={"lineage": False},
    )
    metrics: Names = Field(default=(), description="metrics of the prompt set to ask for; empty: all")
    reading: Literal["text", "expected"] = Field(
        default="text", description="text: the number that is written; expected: the mean over the first token"
    )
    max_caption_chars: int = Field(default=4000, gt=0, description="characters of a caption that the judge reads")
    max_new_tokens: int = Field(
        default=6, gt=0, description="maximum length of an answer in tokens; 100 and an end take up to five"
    )
    batch_size: int = Field(default=8, gt=0, description="images that the judge is asked about at once")

    def build(self, limits: ReadLimits) -> MlmScorer:
        """Return the scorer; a model is loaded when it is first needed.

        Raises:
            ConfigError: If the judge cannot be made, or the prompt set lacks a metric.
        """
        judge = bind(self.judge, VisionJudge, key="scorer.judge", options=self.options, options_key="scorer.options")
        return MlmScorer(self, limits, judge)


class MlmScorer:
    """Scores pairs by asking a judge; a `Scorer`.

    Args:
        config: Prompts, and how answers are read.
        limits: Caps on what is read from a sample.
        judge: Answers the prompts.

    Raises:
        ConfigError: If the prompt set lacks a metric.
    """

    name: str = "mlm"
    counted: Mapping[str, str] = {}

    def __init__(self, config: MlmScorerConfig, limits: ReadLimits, judge: VisionJudge) -> None:
        self.config = config
        self.limits = limits
        self.judge = judge
        self.prompts = PromptSet.load(config.prompts)
        self.metrics = config.metrics or tuple(self.prompts.prompts)
        unknown = [metric for metric in self.metrics if metric not in self.prompts.prompts]
        if unknown:
            raise ConfigError(
                f"scorer.metrics: the prompt set {self.prompts.name} has no {unknown}",
                hint=f"it has {list(self.prompts.prompts)}",
            )
        scores = (
            FieldSpec(name=metric, dtype="float32", description=f"the judge's {metric}, 0 to 100; null: unreadable")
            for metric in self.metrics
        )
        answers = (
            FieldSpec(name=f"{metric}_answer", dtype="string", description=f"beginning of the answer about {metric}")
            for metric in self.metrics
        )
        unreadable = FieldSpec(name="num_unreadable", dtype="int32", description="answers without a score")
        self.columns: tuple[FieldSpec, ...] = (*scores, *answers, unreadable)

    def fingerprint(self) -> str:
        """Return a sha256 of the judge, the prompts, the reading and the caps."""
        settings = {
            "judge": self.judge.fingerprint(),
            "limits": self.limits.digest(),
            "max_caption_chars": self.config.max_caption_chars,
            "max_new_tokens": self.config.max_new_tokens,
            "max_score": self.prompts.max_score,
            "prompts": [[metric, self.prompts.prompts[metric]] for metric in self.metrics],
            "reading": self.config.reading,
        }
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()

    def score_shard(self, reader: ShardReader, samples: Sequence[PoolSample]) -> list[Row | StrEnum]:
        """Return the scores of each of `samples`, or the reason why it has none."""
        results: list[Any] = [sample.reject for sample in samples]
        unreadable: list[str] = []
        for batch in self._read_pairs(reader, samples, results):
            prompts = [[self.prompts.ask(metric, caption) for metric in self.metrics] for _, caption, _ in batch]
            answers = self.judge.answer([image for _, _, image in batch], prompts, self.config.max_new_tokens)
            for (index, _, _), row in zip(batch, answers, strict=True):
                results[index] = self._read_answers(row)
                if results[index] is JudgeReason.UNREADABLE_ANSWER:
                    unreadable.append(row[0].text[:_MAX_ANSWER])
        if unreadable:
            _log.warning(
                "%s: no answer about %d samples holds a score, e.g. %r", reader.name, len(unreadable), unreadable[0]
            )
        return results

    def _read_pairs(
        self, reader: ShardReader, samples: Sequence[PoolSample], results: list[Any]
    ) -> Iterator[list[tuple[int, str, Image.Image]]]:
        """Yield batches of (index of the sample, caption, image); write to `results` why a sample cannot be read."""
        from oqvl_filter.pool import read_pair

        batch = []
        for index, sample in enumerate(samples):
            try:
                caption, image = read_pair(reader, sample, self.limits)
            except SampleError as error:
                results[index] = error.reason
                continue
            batch.append((index, caption[: self.config.max_caption_chars], image))
            if len(batch) == self.config.batch_size:
                yield batch
                batch = []
        if batch:
            yield batch

    def _read_answers(self, answers: Sequence[Answer]) -> Row | StrEnum:
        """Return the columns that the answers about one pair give, or the reason why there are none."""
        refusals = [answer.refusal for answer in answers if answer.refusal is not None]
        if refusals:
            return refusals[0]
        read = read_expected if self.config.reading == "expected" else read_text
        scores = [read(answer, self.prompts.max_score) for answer in answers]
        num_unreadable = scores.count(None)
        if num_unreadable == len(scores):
            return JudgeReason.UNREADABLE_ANSWER
        row: dict[str, Any] = {"num_unreadable": num_unreadable}
        for metric, score, answer in zip(self.metrics, scores, answers, strict=True):
            row[metric] = None if score is None else score * 100 / self.prompts.max_score
            row[f"{metric}_answer"] = answer.text[:_MAX_ANSWER]
        return row


def read_text(answer: Answer, max_score: int) -> float | None:
    """Return the score in the first line of an answer; None if there is none, or if it may have been cut short."""
    line, newline, _ = answer.text.lstrip().partition("\n")
    match = _NUMBER_LINE.fullmatch(line)
    if match is None or int(match[1]) > max_score:
        return None
    may_go_on = not answer.is_whole and not newline and match.end(1) == len(line)
    if may_go_on and int(match[1]) and int(match[1]) * 10 <= max_score:
        return None
    return float(match[1])


def read_expected(answer: Answer, max_score: int) -> float | None:
    """Return the mean of the numbers that could have come first; None if numbers are not one token each."""
    numbers = [
        (int(text), probability)
        for text, probability in answer.first_tokens.items()
        if text.strip().isdecimal() and text.strip().isascii() and int(text) <= max_score
    ]
    mass = sum(probability for _, probability in numbers)
    is_digit_by_digit = max_score >= 10 and all(number < 10 for number, _ in numbers)
    if mass <= 0 or is_digit_by_digit:
        return None
    return sum(number * probability for number, probability in numbers) / mass
