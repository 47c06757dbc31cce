"""The manifest: the one typed file that packages pass to each other.

A dataset is a local directory with `manifest.json` and the shard files that it names. The manifest is written last, so
a directory that has one is complete. Its digest (sha256 of its canonical bytes) names the dataset. The digest covers
the sha256 of every shard. The manifest holds no time, host or absolute path, so the same inputs and configuration give
the same digest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from functools import cached_property
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator
from pydantic_core import to_jsonable_python

from oqvl_shards.config import Frozen, StageConfig, digest_of_values
from oqvl_shards.errors import ManifestError

_SCHEMA_VERSION = 1
"""Version of the manifest's schema, independent of the package's version. Readers accept it and the one before."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", description="sha256, 64 lower-case hex digits")]
Count = Annotated[int, Field(ge=0)]


class Kind(StrEnum):
    """What a dataset holds."""

    IMAGE_TEXT = "image_text"
    CONVERSATION = "conversation"
    INTERLEAVED = "interleaved"
    SCORES = "scores"
    SUBSET = "subset"
    PACKED = "packed"
    CHECKPOINT = "checkpoint"
    BENCHMARK = "benchmark"
    PREDICTIONS = "predictions"


class Account(Frozen):
    """What became of every sample that a stage was given. It must close: in = kept + rejected."""

    num_in: Count = Field(description="samples seen")
    num_kept: Count = Field(description="samples written")
    rejected: dict[str, Count] = Field(default_factory=dict, description="samples left out, by named reason")

    @model_validator(mode="after")
    def _closes(self) -> Self:
        if self.num_in != self.num_kept + sum(self.rejected.values()):
            raise ValueError(
                f"account does not close: {self.num_in} in, {self.num_kept} kept, "
                f"{sum(self.rejected.values())} rejected"
            )
        return self

    @classmethod
    def total(cls, accounts: Iterable[Account]) -> Account:
        """Return the sum of accounts, with the reasons sorted by name."""
        num_in = num_kept = 0
        rejected: dict[str, int] = {}
        for account in accounts:
            num_in += account.num_in
            num_kept += account.num_kept
            for reason, count in account.rejected.items():
                rejected[reason] = rejected.get(reason, 0) + count
        return cls(num_in=num_in, num_kept=num_kept, rejected=dict(sorted(rejected.items())))


class Shard(Frozen):
    """One file of a dataset."""

    path: str = Field(description="path below the dataset's directory, POSIX separators, never absolute or upward")
    num_samples: Count = Field(description="samples (packs, rows, files) in it")
    num_bytes: Count = Field(description="size of the file in bytes")
    sha256: Sha256
    known_damage: str | None = Field(
        default=None, description="tars: the damage that the file was imported with; only its whole samples count"
    )

    @model_validator(mode="after")
    def _path_stays_inside(self) -> Self:
        path = PurePosixPath(self.path)
        if not self.path or path.is_absolute() or ".." in path.parts or "\\" in self.path or "\0" in self.path:
            raise ValueError(f"shard path {self.path!r} must stay below the dataset's directory")
        return self


class FieldSpec(Frozen):
    """One typed field of every sample."""

    name: str
    dtype: str = Field(description="image, text, json, or an Arrow type name such as float32")
    description: str = ""


class ImageTextDetails(Frozen):
    """Image-text pairs in WebDataset tars: one image member and one caption per sample."""

    kind: Literal[Kind.IMAGE_TEXT] = Kind.IMAGE_TEXT


class ConversationDetails(Frozen):
    """Conversations in WebDataset tars: one `json` member (turns) and any number of image members per sample."""

    kind: Literal[Kind.CONVERSATION] = Kind.CONVERSATION


class InterleavedDetails(Frozen):
    """Interleaved documents in WebDataset tars: one `json` member (texts, image slots) and images per sample."""

    kind: Literal[Kind.INTERLEAVED] = Kind.INTERLEAVED


class ScoresDetails(Frozen):
    """Scores of one pool by one scorer: parquet files with the columns `uid`, `key` and the scorer's own."""

    kind: Literal[Kind.SCORES] = Kind.SCORES
    scorer: str = Field(description="the scorer's name, e.g. clip")
    fingerprint: Sha256 = Field(description="identity of weights, pre-processing and prompts together")
    columns: tuple[str, ...] = Field(description="score columns, in addition to uid and key")


class SubsetDetails(Frozen):
    """A set of uids: one `.npy` of dtype "u8,u8" (high, low words), lexicographically sorted, without duplicates."""

    kind: Literal[Kind.SUBSET] = Kind.SUBSET
    rule: str = Field(description="how it was selected, in words that a person can check")
    num_pool: Count = Field(description="samples that it was selected from")


class PackedSource(Frozen):
    """One dataset that packs were made from."""

    name: str = Field(description="its name")
    sha256: Sha256 = Field(description="its digest, one of the lineage's parents; covers the sha256 of every shard")
    path: str = Field(
        default="",
        description="layout reference: its directory, relative to that of the packs, POSIX separators; else empty",
    )
    num_tokens: Count = Field(description="tokens of its documents in all packs, visual tokens included")
    account: Account = Field(description="what became of its samples")

    @model_validator(mode="after")
    def _path_is_relative(self) -> Self:
        if PurePosixPath(self.path).is_absolute() or "\\" in self.path or "\0" in self.path:
            raise ValueError(f"path {self.path!r} must be relative, with forward slashes")
        return self


class PackedDetails(Frozen):
    """Packed training sequences. `oqvl_shards/packed/README.md` specifies the layouts."""

    kind: Literal[Kind.PACKED] = Kind.PACKED
    layout: Literal["embedded", "reference"] = Field(
        default="embedded",
        description="embedded: tars that hold the image bytes; reference: Arrow files that point into the source tars",
    )
    bin_capacity: int = Field(gt=0, description="most tokens in a pack, visual tokens included")
    visual_tokens_per_image: Count = Field(
        description="visual tokens per image; 0: they differ, see `image_tokens` in the records"
    )
    image_token_id: Count = Field(description="id of the image placeholder in input_ids")
    pad_token_id: Count = Field(description="id that a trainer may fill unused positions with; never a target")
    vocab_size: int = Field(gt=0, description="fewest rows that the model's embedding needs")
    tokenizer_sha256: Sha256 = Field(description="digest of tokenizer.json")
    num_documents: Count = Field(description="documents in all packs")
    num_images: Count = Field(description="images in all packs")
    num_tokens: Count = Field(description="tokens in all packs, with visual tokens, without padding")
    num_target_tokens: Count = Field(description="tokens that carry loss")
    lower_bound: Count = Field(description="lower bound on the number of packs for these documents")
    sources: tuple[PackedSource, ...] = Field(
        default=(),
        description="the datasets that were packed, in order; image references count through all their shards",
    )

    @model_validator(mode="after")
    def _references_lead_somewhere(self) -> Self:
        if self.layout == "reference" and not all(source.path for source in self.sources):
            raise ValueError("layout reference needs the path of every source")
        return self


class CheckpointDetails(Frozen):
    """A model directory that `from_pretrained` reads."""

    kind: Literal[Kind.CHECKPOINT] = Kind.CHECKPOINT
    architecture: str = Field(description="model class, as in config.json")
    stage: str = Field(description="the training stage that produced it, e.g. init, pretrain, sft")
    step: Count = Field(default=0, description="optimizer steps of that stage")
    visual_tokens_per_image: Count = Field(
        default=0, description="visual tokens per image at the end of the stage; 0: none"
    )


class BenchmarkDetails(Frozen):
    """Benchmark items in parquet. oqvl-eval specifies the columns."""

    kind: Literal[Kind.BENCHMARK] = Kind.BENCHMARK
    task: str = Field(description="name of the task, e.g. mmmu_val")


class PredictionsDetails(Frozen):
    """A model's raw answers to a benchmark, in parquet, one row per item."""

    kind: Literal[Kind.PREDICTIONS] = Kind.PREDICTIONS
    task: str = Field(description="name of the task")
    model: str = Field(description="name of the model, for people")
    mode: Literal["generate", "likelihood"] = Field(description="free generation, or likelihood of each choice")


Details = Annotated[
    ImageTextDetails
    | ConversationDetails
    | InterleavedDetails
    | ScoresDetails
    | SubsetDetails
    | PackedDetails
    | CheckpointDetails
    | BenchmarkDetails
    | PredictionsDetails,
    Field(discriminator="kind"),
]


class Ancestor(Frozen):
    """One stage in a dataset's history."""

    digest: Sha256 = Field(description="digest of the manifest that the stage wrote")
    kind: Kind
    name: str
    tool: str
    version: str
    config_digest: Sha256
    parents: tuple[Sha256, ...] = ()


class Lineage(Frozen):
    """Where a dataset comes from: the stage that wrote it, and every stage before it.

    The manifest holds the whole ancestry, so it can be read even when the parents are gone.
    """

    tool: str = Field(description="package and command, e.g. oqvl-filter score")
    version: str = Field(description="version of the package")
    config: dict[str, Any] = Field(default_factory=dict, description="the configuration that decides the output")
    config_digest: Sha256 = Field(description="sha256 of config in canonical JSON")
    parents: tuple[Sha256, ...] = Field(default=(), description="digests of the manifests it was made from, in order")
    ancestors: tuple[Ancestor, ...] = Field(default=(), description="all earlier stages, parents before children")

    @classmethod
    def derive(
        cls,
        tool: str,
        version: str,
        config: StageConfig,
        parents: Sequence[Manifest] = (),
        *,
        pinned: Mapping[str, Any] | None = None,
    ) -> Self:
        """Return the lineage of an output of `tool`, run with `config` on `parents`.

        Args:
            tool: Package and command.
            version: Version of the package.
            config: The configuration.
            parents: Manifests of the inputs, in order.
            pinned: Everything else that decides the output, as JSON values. The lineage's `config` is then a table with
                the pinned values, and with the configuration under the key `config`.
        """
        values = config.lineage_values() if pinned is None else {"config": config.lineage_values(), **pinned}
        values = to_jsonable_python(values)  # as they will be read back: lists, not tuples
        ancestors: dict[str, Ancestor] = {}
        for parent in parents:
            for ancestor in parent.lineage.ancestors:
                ancestors.setdefault(ancestor.digest, ancestor)
            digest = parent.digest()
            ancestors.setdefault(
                digest,
                Ancestor(
                    digest=digest,
                    kind=parent.kind,
                    name=parent.name,
                    tool=parent.lineage.tool,
                    version=parent.lineage.version,
                    config_digest=parent.lineage.config_digest,
                    parents=parent.lineage.parents,
                ),
            )
        return cls(
            tool=tool,
            version=version,
            config=values,
            config_digest=digest_of_values(values),
            parents=tuple(parent.digest() for parent in parents),
            ancestors=tuple(ancestors.values()),
        )


class Manifest(Frozen):
    """The typed description of one dataset; see the module's docstring."""

    schema_version: int = Field(default=_SCHEMA_VERSION, description="version of this schema")
    name: str = Field(min_length=1, description="name of the dataset, for people and for derived uids")
    details: Details = Field(description="what is specific to this kind of dataset")
    shards: tuple[Shard, ...] = Field(description="the files, in reading order")
    fields: tuple[FieldSpec, ...] = Field(default=(), description="what every sample holds")
    account: Account = Field(description="what became of every sample that the stage was given")
    statistics: dict[str, int | float | str] = Field(
        default_factory=dict, description="figures about the content, by name; deterministic, so without timings"
    )
    lineage: Lineage

    @model_validator(mode="after")
    def _shard_paths_are_distinct(self) -> Self:
        paths = [shard.path for shard in self.shards]
        if len(set(paths)) != len(paths):
            raise ValueError("two shards have the same path")
        return self

    @property
    def kind(self) -> Kind:
        """What the dataset holds."""
        return self.details.kind

    @property
    def num_samples(self) -> int:
        """Number of samples in all shards."""
        return sum(shard.num_samples for shard in self.shards)

    @property
    def num_bytes(self) -> int:
        """Size of all shards, in bytes."""
        return sum(shard.num_bytes for shard in self.shards)

    def canonical_bytes(self) -> bytes:
        """Return the bytes of `manifest.json`: JSON with sorted keys, an indent of two spaces and a final newline."""
        values = self.model_dump(mode="json")
        return (json.dumps(values, sort_keys=True, indent=2, ensure_ascii=False) + "\n").encode()

    def digest(self) -> str:
        """Return the sha256 (64 hex digits) of `canonical_bytes`, which names the dataset."""
        return self._digest

    @cached_property
    def _digest(self) -> str:
        return hashlib.sha256(self.canonical_bytes()).hexdigest()

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy with some fields changed; see pydantic's method."""
        copied = super().model_copy(update=update, deep=deep)
        copied.__dict__.pop("_digest", None)  # it belongs to the original
        return copied


def parse_manifest(text: str, *, where: str = "manifest") -> Manifest:
    """Parse the JSON `text` of a manifest.

    Raises:
        ManifestError: If it is malformed or of a schema version that this release cannot read.
    """
    try:
        values = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ManifestError(f"{where} is not JSON: {error}") from error
    version = values.get("schema_version") if isinstance(values, Mapping) else None
    if version not in (_SCHEMA_VERSION, _SCHEMA_VERSION - 1) or not version:
        raise ManifestError(
            f"{where} has schema version {version!r}, but this release reads {_SCHEMA_VERSION}",
            hint="use the release of oqvl-shards that wrote it, or make the dataset again",
        )
    try:
        return Manifest.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ManifestError(
            f"{where} is malformed in {error.error_count()} place(s); the first: {key}: {first['msg']}"
        ) from error
