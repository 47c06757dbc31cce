"""The configurations of the commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic.config import JsonDict

from oqvl_shards.config import StageConfig

ChoicesAs = Literal["letter", "text"]
"""Which continuation stands for an option in likelihood mode."""

ImageCondition = Literal["given", "shuffled", "blank"]
"""Which pictures the model sees with an item; see `oqvl_eval.controls`."""

Profile = Literal["strict", "official", "lmms", "vlmevalkit", "lm_eval", "paper"]
"""A named way of judging; see `oqvl_eval.scoring_rules`."""

Normalisation = Literal["sum", "per_token", "per_byte", "pmi"]
"""How log-probabilities of continuations of different length are made comparable.

- `sum`: as they are.
- `per_token`, `per_byte`: divided by the number of tokens, or of UTF-8 bytes.
- `pmi`: minus the log-probability under blank pictures. What is left is what the pictures add (pointwise mutual
  information; Holtzman et al., 2021, arXiv 2104.08315).
"""

NORMALISATIONS: tuple[Normalisation, ...] = ("sum", "per_token", "per_byte", "pmi")

SourceFormat = Literal["ai2d", "jsonl", "mmbench", "mmstar", "pope", "realworldqa"]
"""The formats that a benchmark can be imported from."""

_PLACE: JsonDict = {"lineage": False}
_PROSE: JsonDict = {"prose": True}


class PromptConfig(StageConfig):
    """The layout of every prompt of an evaluation."""

    style: Literal["completion", "instruction"] | None = Field(
        default=None,
        description="completion: end with answer_cue; instruction: end with an instruction; "
        "unset: instruction with chat, completion without",
    )
    before: str = Field(default="", description="text before the item", json_schema_extra=_PROSE)
    image_separator: str = Field(default="\n", description="text after every picture", json_schema_extra=_PROSE)
    choice_line: str = Field(
        default="{letter}. {choice}",
        description="one line per option; {letter} and {choice} are filled in",
        json_schema_extra=_PROSE,
    )
    multiple_choice_instruction: str = Field(
        default="Reply with the letter of the right option only.",
        description="last line of an item with options, style instruction",
        json_schema_extra=_PROSE,
    )
    yes_no_instruction: str = Field(
        default="Reply with yes or no only.",
        description="last line of an item with rule yes_no, style instruction",
        json_schema_extra=_PROSE,
    )
    short_answer_instruction: str = Field(
        default="Reply with one word or a short phrase only.",
        description="last line of any other item, style instruction",
        json_schema_extra=_PROSE,
    )
    answer_cue: str = Field(
        default="Answer:", description="last line of every item, style completion", json_schema_extra=_PROSE
    )


class EvalConfig(StageConfig):
    """`oqvl-eval run`: ask a model every item of a benchmark."""

    benchmark: Path = Field(description="directory of a benchmark dataset", json_schema_extra=_PLACE)
    checkpoint: Path = Field(description="directory of a checkpoint dataset", json_schema_extra=_PLACE)
    output: Path = Field(description="directory of the predictions dataset to write", json_schema_extra=_PLACE)
    answerer: str = Field(
        description="factory of the model's Answerer as package.module:factory, e.g. oqvl_model.answerer:VlmAnswerer"
    )
    answerer_options: dict[str, Any] = Field(default_factory=dict, description="keyword arguments of the factory")
    mode: Literal["generate", "likelihood"] = Field(
        default="generate", description="generate: free text; likelihood: log-probability of every option"
    )
    choices_as: ChoicesAs = Field(
        default="letter",
        description="likelihood mode: letter lists the options and scores their letters; "
        "text does not list them and scores their texts",
    )
    score_blank: bool = Field(
        default=False,
        description="likelihood mode: score every option under plain grey pictures too, for normalisation=pmi",
    )
    chat: bool = Field(default=False, description="apply the model's chat template; off for base models")
    max_new_tokens: int = Field(default=16, ge=1, description="generate mode: maximum number of tokens per answer")
    prompt: PromptConfig = Field(default=PromptConfig(), description="layout of the prompts")
    images: ImageCondition = Field(
        default="given",
        description="given: the items' own pictures; shuffled: the pictures of other items; blank: plain grey pictures",
    )
    image_seed: int = Field(default=0, ge=0, description="seed of images=shuffled")
    limit: int | None = Field(default=None, ge=1, description="number of items to ask, from the first; unset: all")
    items_per_call: int = Field(
        default=32,
        ge=1,
        description="items, with decoded pictures, that the answerer gets per call; it batches them itself",
    )
    items_per_chunk: int = Field(
        default=256, ge=1, description="items per file; a killed run repeats at most one file's items"
    )

    @model_validator(mode="after")
    def _blank_is_a_reference(self) -> Self:
        if self.score_blank and (self.mode != "likelihood" or self.images == "blank"):
            raise ValueError("score_blank needs mode=likelihood and images other than blank")
        return self


def _each_once(profiles: tuple[Profile, ...]) -> tuple[Profile, ...]:
    if len(set(profiles)) < len(profiles):
        raise ValueError(f"a profile is named twice: {', '.join(profiles)}")
    return profiles


class JudgingConfig(StageConfig):
    """How predictions are judged."""

    normalisation: Normalisation = Field(
        default="sum",
        description="likelihood mode: compare log-probabilities as they are (sum), divided by tokens or bytes "
        "(per_token, per_byte), or minus those under blank pictures (pmi)",
    )
    confidence: float = Field(default=0.95, gt=0, lt=1, description="coverage of the intervals")
    num_resamples: int = Field(default=10_000, ge=100, description="number of resamples of the cluster bootstrap")
    seed: int = Field(default=0, ge=0, description="seed of the cluster bootstrap")


Profiles = Annotated[tuple[Profile, ...], Field(min_length=1), AfterValidator(_each_once)]
"""Profiles to judge by, each once. The first is reported in full."""


class ScoreConfig(JudgingConfig):
    """`oqvl-eval score`: judge the predictions of one run."""

    profiles: Profiles = Field(
        default=("strict",),
        description="how answers are judged; strict: no randomness, no guessing; the others reproduce the rules of "
        "another harness; the first is reported in full, the others beside it",
    )
    predictions: Path = Field(description="directory of a predictions dataset", json_schema_extra=_PLACE)


class CompareConfig(JudgingConfig):
    """`oqvl-eval compare`: a paired comparison of two runs on the same items."""

    profile: Profile = Field(default="strict", description="how answers are judged, see score")
    a: Path = Field(description="directory of system A's predictions dataset", json_schema_extra=_PLACE)
    b: Path = Field(description="directory of system B's predictions dataset", json_schema_extra=_PLACE)


class ImportConfig(StageConfig):
    """`oqvl-eval import`: make a benchmark dataset from local files."""

    source: Path = Field(
        description="jsonl: JSON Lines file with one item per line; other formats: the published parquet or TSV file, "
        "or a folder of parquet files",
        json_schema_extra=_PLACE,
    )
    format: SourceFormat = Field(
        default="jsonl", description="jsonl, or a published benchmark: ai2d, mmbench, mmstar, pope, realworldqa"
    )
    images: Path | None = Field(
        default=None,
        description="jsonl: folder that picture names are relative to; unset: the folder of the source",
        json_schema_extra=_PLACE,
    )
    output: Path = Field(description="directory of the benchmark dataset to write", json_schema_extra=_PLACE)
    task: str = Field(
        default="",
        description="name of the task; empty: the format, or the stem of the JSON Lines file",
    )


class ShowConfig(StageConfig):
    """`oqvl-eval show`: print items of a benchmark, or answers of a run."""

    dataset: Path = Field(description="directory of a benchmark or a predictions dataset", json_schema_extra=_PLACE)
    item: str | None = Field(default=None, description="id of the only item to show; unset: the first items")
    only: Literal["right", "wrong", "read", "unread", "ambiguous", "refused", "no_answer", "disagree"] | None = Field(
        default=None,
        description="predictions: show only answers that the first profile judged so (wrong: less than full credit), "
        "or on which the profiles disagree; unset: all",
    )
    profiles: Profiles = Field(default=("strict",), description="predictions: how answers are judged, see score")
    normalisation: Normalisation | None = Field(
        default=None,
        description="likelihood mode, see score; unset: the one of the only stored score, or sum if there is no stored "
        "score or more than one",
    )
    limit: int = Field(default=5, ge=1, description="maximum number of items to show")
