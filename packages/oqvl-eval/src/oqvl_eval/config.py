"""The configurations of the commands."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator
from pydantic.config import JsonDict

from oqvl_shards.config import StageConfig

Mode = Literal["generate", "likelihood"]
"""Free generation, or the likelihood of every option."""

ChoicesAs = Literal["letter", "text"]
"""Which continuation stands for an option in likelihood mode."""

ImageCondition = Literal["given", "shuffled", "blank"]
"""Which pictures an item shows; see `oqvl_eval.controls`."""

Profile = Literal["strict"]
"""A named way of judging; see `oqvl_eval.scoring`."""

Normalisation = Literal["sum", "per_token", "per_byte", "pmi"]
"""How log-probabilities of unlike continuations are made comparable.

They are divided by nothing, by tokens, or by UTF-8 bytes; or, `pmi`, the log-probability under blank pictures is taken
off, which leaves what the pictures add (pointwise mutual information; Holtzman et al., 2021, arXiv 2104.08315).
"""

NORMALISATIONS: tuple[Normalisation, ...] = ("sum", "per_token", "per_byte", "pmi")

SourceFormat = Literal["ai2d", "jsonl", "mmbench", "mmstar", "pope", "realworldqa"]
"""Which foreign files a benchmark is imported from."""

Show = Literal["right", "wrong", "parsed", "unparsed", "ambiguous"]
"""Which answers are shown."""

_PLACE: JsonDict = {"lineage": False}
_PROSE: JsonDict = {"prose": True}


class PromptConfig(StageConfig):
    """The layout of every prompt of an evaluation."""

    style: Literal["completion", "instruction"] | None = Field(
        default=None,
        description="completion: end on answer_cue; instruction: end on an instruction; "
        "unset: instruction with chat, completion without",
    )
    before: str = Field(default="", description="text before the item", json_schema_extra=_PROSE)
    image_separator: str = Field(default="\n", description="text after every picture", json_schema_extra=_PROSE)
    choice_line: str = Field(
        default="{letter}. {choice}",
        description="one line an option; {letter} and {choice} are filled in",
        json_schema_extra=_PROSE,
    )
    multiple_choice_instruction: str = Field(
        default="Reply with the letter of the right option only.",
        description="last line of an item with options, style instruction",
        json_schema_extra=_PROSE,
    )
    yes_no_instruction: str = Field(
        default="Reply with yes or no only.",
        description="last line of an item of rule yes_no, style instruction",
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
        description="factory of the model's Answerer, module:attribute, e.g. oqvl_model.answerer:VlmAnswerer"
    )
    answerer_options: dict[str, Any] = Field(default_factory=dict, description="keyword arguments of the factory")
    mode: Mode = Field(
        default="generate", description="generate: free text; likelihood: log-probability of every option"
    )
    choices_as: ChoicesAs = Field(
        default="letter",
        description="likelihood mode: letter lists the options and scores their letters; "
        "text does not list them and scores their texts",
    )
    score_blank: bool = Field(
        default=False,
        description="likelihood mode: also score every option under even grey pictures, for normalisation=pmi",
    )
    chat: bool = Field(default=False, description="apply the model's chat template; off for base models")
    max_new_tokens: int = Field(default=16, ge=1, description="generate mode: tokens generated at most")
    prompt: PromptConfig = Field(default=PromptConfig(), description="how an item is laid out")
    images: ImageCondition = Field(
        default="given", description="given; shuffled: every item shows other items' pictures; blank: even grey ones"
    )
    image_seed: int = Field(default=0, ge=0, description="seed of images=shuffled")
    limit: int | None = Field(default=None, ge=1, description="ask the first items only; unset: all")
    items_per_call: int = Field(
        default=32, ge=1, description="items the answerer is given at once, pictures decoded; it batches them itself"
    )
    items_per_chunk: int = Field(default=256, ge=1, description="items a file; a killed run repeats at most one file")

    @model_validator(mode="after")
    def _blank_is_a_reference(self) -> Self:
        if self.score_blank and (self.mode != "likelihood" or self.images == "blank"):
            raise ValueError("score_blank needs mode=likelihood, and pictures that are not blank themselves")
        return self


class JudgingConfig(StageConfig):
    """How predictions are judged, wherever they are."""

    profile: Profile = Field(default="strict", description="how answers are read; strict: no randomness, no guessing")
    normalisation: Normalisation = Field(
        default="sum",
        description="likelihood mode: divide log-probabilities by nothing (sum), by tokens, or by bytes; or "
        "pmi: take off those under blank pictures",
    )
    confidence: float = Field(default=0.95, gt=0, lt=1, description="coverage of the intervals")
    num_resamples: int = Field(default=10_000, ge=100, description="resamples of the cluster bootstrap")
    seed: int = Field(default=0, ge=0, description="seed of the cluster bootstrap")


class ScoreConfig(JudgingConfig):
    """`oqvl-eval score`: judge the predictions of one run."""

    predictions: Path = Field(description="directory of a predictions dataset", json_schema_extra=_PLACE)


class CompareConfig(JudgingConfig):
    """`oqvl-eval compare`: a paired comparison of two runs on the same items."""

    a: Path = Field(description="directory of system A's predictions dataset", json_schema_extra=_PLACE)
    b: Path = Field(description="directory of system B's predictions dataset", json_schema_extra=_PLACE)


class ImportConfig(StageConfig):
    """`oqvl-eval import`: make a benchmark dataset of local files."""

    source: Path = Field(
        description="jsonl: JSON Lines file, one item a line; else the published parquet or TSV file, or their folder",
        json_schema_extra=_PLACE,
    )
    format: SourceFormat = Field(
        default="jsonl", description="jsonl, or the benchmark: ai2d, mmbench, mmstar, pope, realworldqa"
    )
    images: Path | None = Field(
        default=None,
        description="jsonl: folder that picture names are relative to; unset: the source's",
        json_schema_extra=_PLACE,
    )
    output: Path = Field(description="directory of the benchmark dataset to write", json_schema_extra=_PLACE)
    task: str = Field(
        default="",
        description="name of the task; empty: the format, or the JSON Lines file's stem",
    )


class ShowConfig(StageConfig):
    """`oqvl-eval show`: print items of a benchmark, or answers of a run."""

    dataset: Path = Field(description="directory of a benchmark or a predictions dataset", json_schema_extra=_PLACE)
    item: str | None = Field(default=None, description="this item only; unset: the first ones")
    only: Show | None = Field(default=None, description="predictions: only answers that are so; unset: all")
    normalisation: Normalisation | None = Field(
        default=None,
        description="likelihood mode, see score; unset: the one that the predictions were scored by, or sum when by "
        "none or by several",
    )
    limit: int = Field(default=5, ge=1, description="items shown at most")
