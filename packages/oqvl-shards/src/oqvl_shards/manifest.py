"""The manifest: the one typed file that packages pass to each other.

A dataset is a local directory with `manifest.json` and the shard files that it names. The manifest is written last, so
a directory that has one is complete. Its digest (sha256 of its canonical bytes) names the dataset: it covers every
shard's own sha256, and it holds no time, host or path, so the same inputs and configuration give the same digest.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from oqvl_shards.atomic import atomic_write
from oqvl_shards.config import Frozen, StageConfig
from oqvl_shards.errors import ConfigError, DataError, ManifestError

SCHEMA_VERSION = 1
"""Version of the manifest's schema, counted on its own; a reader accepts this one and the one before."""

MANIFEST_NAME = "manifest.json"

UNFINISHED_NAME = "unfinished.json"
"""File in a directory that a step has begun to write: the lineage of the step. It goes when the manifest is there."""

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
    """What became of every sample that a stage was given; it must close: in = kept + rejected."""

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
        """Add accounts up; reasons come out sorted by name."""
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
        default=None, description="tars: fault that the file came with; its whole samples are the ones that count"
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
    """Image-text pairs in WebDataset tars: one image member and one caption a sample."""

    kind: Literal[Kind.IMAGE_TEXT] = Kind.IMAGE_TEXT


class ConversationDetails(Frozen):
    """Conversations in WebDataset tars: one `json` member (turns) and any number of image members a sample."""

    kind: Literal[Kind.CONVERSATION] = Kind.CONVERSATION


class InterleavedDetails(Frozen):
    """Interleaved documents in WebDataset tars: one `json` member (texts, image slots) and image members a sample."""

    kind: Literal[Kind.INTERLEAVED] = Kind.INTERLEAVED


class ScoresDetails(Frozen):
    """Scores of one scorer over one pool: parquet files with the columns `uid`, `key` and the scorer's own."""

    kind: Literal[Kind.SCORES] = Kind.SCORES
    scorer: str = Field(description="the scorer's name, e.g. clip")
    fingerprint: Sha256 = Field(description="identity of weights, pre-processing and prompts together")
    columns: tuple[str, ...] = Field(description="score columns, beside uid and key")


class SubsetDetails(Frozen):
    """A set of uids: one `.npy` of dtype "u8,u8" (high, low words), lexicographically sorted, without duplicates."""

    kind: Literal[Kind.SUBSET] = Kind.SUBSET
    rule: str = Field(description="how it was selected, in words a person can check")
    num_pool: Count = Field(description="samples it was selected from")


class PackedSource(Frozen):
    """One dataset that packs were made from."""

    name: str = Field(description="its name")
    sha256: Sha256 = Field(description="its digest, one of the lineage's parents; covers the sha256 of every shard")
    path: str = Field(
        default="",
        description="layout reference: its directory, relative to the packed dataset's, POSIX separators; else empty",
    )
    num_tokens: Count = Field(description="tokens of its documents in all packs, visual tokens included")
    account: Account = Field(description="what became of its samples")

    @model_validator(mode="after")
    def _path_is_relative(self) -> Self:
        if PurePosixPath(self.path).is_absolute() or "\\" in self.path or "\0" in self.path:
            raise ValueError(f"path {self.path!r} must be relative, with forward slashes")
        return self


class PackedDetails(Frozen):
    """Packed training sequences; the layouts are specified in `oqvl_shards/packed/README.md`."""

    kind: Literal[Kind.PACKED] = Kind.PACKED
    layout: Literal["embedded", "reference"] = Field(
        default="embedded",
        description="embedded: tars that hold the image bytes; reference: Arrow files that point into the source tars",
    )
    bin_capacity: int = Field(gt=0, description="tokens a pack holds at most, visual tokens included")
    visual_tokens_per_image: Count = Field(
        description="visual tokens that every image stands for; 0: they differ, `image_tokens` in the records"
    )
    image_token_id: Count = Field(description="id of the image placeholder in input_ids")
    pad_token_id: Count = Field(description="id that a trainer may fill unused positions with; never a target")
    vocab_size: int = Field(gt=0, description="rows the model's embedding needs at least")
    tokenizer_sha256: Sha256 = Field(description="digest of tokenizer.json")
    num_documents: Count = Field(description="documents in all packs")
    num_images: Count = Field(description="images in all packs")
    num_tokens: Count = Field(description="tokens in all packs, visual tokens included, padding not")
    num_target_tokens: Count = Field(description="tokens that carry loss")
    lower_bound: Count = Field(description="packs that no packing of these documents can stay below")
    sources: tuple[PackedSource, ...] = Field(
        default=(), description="the datasets that were packed, in order; image references count their shards through"
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
        default=0, description="visual tokens an image at the end of the stage; 0: none"
    )


class BenchmarkDetails(Frozen):
    """Benchmark items in parquet; the columns are specified in oqvl-eval."""

    kind: Literal[Kind.BENCHMARK] = Kind.BENCHMARK
    task: str = Field(description="name of the task, e.g. mmmu_val")


class PredictionsDetails(Frozen):
    """A model's raw answers to a benchmark, in parquet, one row an item."""

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
    """One step of a dataset's history."""

    digest: Sha256 = Field(description="digest of the manifest that the step wrote")
    kind: Kind
    name: str
    tool: str
    version: str
    config_digest: Sha256
    parents: tuple[Sha256, ...] = ()


class Lineage(Frozen):
    """Where a dataset comes from: the step that wrote it, and every step before it.

    The whole ancestry travels with the manifest, so it can be read when the parents are gone.
    """

    tool: str = Field(description="package and command, e.g. oqvl-filter score")
    version: str = Field(description="version of the package")
    config: dict[str, Any] = Field(default_factory=dict, description="the configuration that decides the output")
    config_digest: Sha256 = Field(description="sha256 of config in canonical JSON")
    parents: tuple[Sha256, ...] = Field(default=(), description="digests of the manifests it was made from, in order")
    ancestors: tuple[Ancestor, ...] = Field(default=(), description="all earlier steps, parents before children")

    @classmethod
    def derive(cls, tool: str, version: str, config: StageConfig, parents: Sequence[Manifest] = ()) -> Self:
        """Make the lineage of an output of `tool` run with `config` on `parents`."""
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
            config=config.lineage_values(),
            config_digest=config.digest(),
            parents=tuple(parent.digest() for parent in parents),
            ancestors=tuple(ancestors.values()),
        )


class Manifest(Frozen):
    """The typed description of one dataset; see the module's docstring."""

    schema_version: int = Field(default=SCHEMA_VERSION, description="version of this schema")
    name: str = Field(min_length=1, description="name of the dataset, for people and for derived uids")
    details: Details = Field(description="what only this kind of dataset has")
    shards: tuple[Shard, ...] = Field(description="the files, in reading order")
    fields: tuple[FieldSpec, ...] = Field(default=(), description="what every sample holds")
    account: Account = Field(description="what became of every sample that the stage was given")
    statistics: dict[str, int | float | str] = Field(
        default_factory=dict, description="figures about the content, by name; deterministic, so no timings"
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
        """Samples in all shards."""
        return sum(shard.num_samples for shard in self.shards)

    @property
    def num_bytes(self) -> int:
        """Bytes of all shards."""
        return sum(shard.num_bytes for shard in self.shards)

    def canonical_bytes(self) -> bytes:
        """Return the bytes that `manifest.json` holds: JSON, sorted keys, two-space indent, final newline."""
        values = self.model_dump(mode="json")
        return (json.dumps(values, sort_keys=True, indent=2, ensure_ascii=False) + "\n").encode()

    def digest(self) -> str:
        """Return the sha256 (64 hex digits) of `canonical_bytes`; it names the dataset."""
        return self._digest

    @cached_property
    def _digest(self) -> str:
        return hashlib.sha256(self.canonical_bytes()).hexdigest()

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy with some fields changed; see pydantic's method."""
        copied = super().model_copy(update=update, deep=deep)
        copied.__dict__.pop("_digest", None)  # of the original
        return copied


@dataclass(frozen=True)
class Dataset:
    """A directory together with the manifest read from it."""

    path: Path
    manifest: Manifest

    def shard_path(self, shard: Shard) -> Path:
        """Return where `shard`'s file lies."""
        return self.path / shard.path

    def whole_shard_path(self, shard: Shard) -> Path:
        """Return where `shard`'s file lies, after a look at its size: a tar that was cut still reads, but for its end.

        Raises:
            DataError: When it is missing or of another size than the manifest says.
        """
        path = self.shard_path(shard)
        _check_size(path, shard, hint="it is not what the manifest describes: fetch it again, or make the dataset anew")
        return path


def open_dataset(directory: Path | str, *kinds: Kind) -> Dataset:
    """Read the manifest of the dataset in `directory`.

    Args:
        directory: The dataset's directory.
        kinds: The kinds that the caller can use; any kind when none is given.

    Raises:
        ManifestError: When there is no manifest, it is malformed, of another schema version, or of another kind.
    """
    directory = Path(directory)
    path = directory / MANIFEST_NAME
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError) as error:
        if not directory.is_dir():
            hint = "check the path, which counts from where the command runs; for foreign data run `oqvl-shards import`"
            raise ManifestError(f"{directory} is no directory", hint=hint) from error
        raise ManifestError(f"{directory} has no {MANIFEST_NAME}", hint=_what_is_there(directory)) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path} cannot be read: {error}") from error
    manifest = parse_manifest(text, where=str(path))
    if kinds and manifest.kind not in kinds:
        expected = " or ".join(kind.value for kind in kinds)
        raise ManifestError(
            f"{path} is of kind {manifest.kind.value}, expected {expected}",
            hint=f"{manifest.lineage.tool} made it; name a dataset of kind {expected}, or make one first",
        )
    return Dataset(directory, manifest)


def _what_is_there(directory: Path) -> str:
    """Return what to do about a directory without manifest."""
    if (directory / UNFINISHED_NAME).exists():
        return "what writes it was stopped before the end: run it again"
    if inner := sorted(path.parent.name for path in directory.glob(f"*/{MANIFEST_NAME}")):
        return f"there is one in {' and in '.join(str(directory / name) for name in inner[:3])}"
    return "name a directory that a command has written; for foreign data run `oqvl-shards import` first"


def parse_manifest(text: str, *, where: str = "manifest") -> Manifest:
    """Parse the JSON `text` of a manifest.

    Raises:
        ManifestError: When it is malformed or of a schema version that this release cannot read.
    """
    try:
        values = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ManifestError(f"{where} is not JSON: {error}") from error
    version = values.get("schema_version") if isinstance(values, Mapping) else None
    if version not in (SCHEMA_VERSION, SCHEMA_VERSION - 1) or not version:
        raise ManifestError(
            f"{where} has schema version {version!r}, this release reads {SCHEMA_VERSION}",
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


def write_manifest(directory: Path | str, manifest: Manifest) -> Dataset:
    """Write `manifest` to `directory` atomically, after every shard that it names is there.

    Raises:
        DataError: When a shard's file is missing or of another size than the manifest says.
    """
    directory = Path(directory)
    for shard in manifest.shards:
        _check_size(directory / shard.path, shard)
    atomic_write(directory / MANIFEST_NAME, manifest.canonical_bytes())
    (directory / UNFINISHED_NAME).unlink(missing_ok=True)
    return Dataset(directory, manifest)


def _check_size(path: Path, shard: Shard, hint: str = "") -> None:
    size = path.stat().st_size if path.is_file() else None
    if size != shard.num_bytes:
        found = "no file" if size is None else f"{size:,} bytes"
        raise DataError(f"{path}: found {found}, expected {shard.num_bytes:,} bytes", hint=hint)


def finished_output(directory: Path | str, lineage: Lineage, *, in_place: bool = False) -> Dataset | None:
    """Return the dataset in `directory` when a step with this very lineage has finished it, None when none has.

    After None the directory is the step's own: it is there, it can be written, and what it holds the step has written
    itself before it was stopped. `UNFINISHED_NAME` says so until the manifest is written.

    Args:
        directory: Where the step writes.
        lineage: What the step is.
        in_place: Whether the step describes what lies in the directory already, so that any file may be there.

    Raises:
        ConfigError: When it cannot be written, or it holds files of anyone else, or of another step, configuration or
            inputs; nothing is overwritten.
    """
    directory = Path(directory)
    marker = directory / UNFINISHED_NAME
    if (directory / MANIFEST_NAME).exists():
        dataset = open_dataset(directory)
        _check_same_step(directory, "the output", dataset.manifest.lineage, lineage)
        if marker.exists():  # the step was killed right after its manifest came
            marker.unlink(missing_ok=True)
        return dataset
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if not in_place and (names := _names_in(directory)):
            begun = Lineage.model_validate_json(marker.read_bytes()) if marker.exists() else None
            if begun is None:
                raise _foreign(directory, names)
            _check_same_step(directory, "the unfinished output", begun, lineage)
        else:  # nothing reads it while it is alone, so processes of one step may all write it
            marker.write_text(lineage.model_dump_json(), encoding="utf-8")
    except ValidationError as error:
        raise ConfigError(f"{marker} is damaged", hint=f"delete {directory}, or name another directory") from error
    except OSError as error:
        hint = "name a directory that is new or empty, where you may write"
        raise ConfigError(f"{directory} cannot be written: {error.strerror}", hint=hint) from error
    return None


def _names_in(directory: Path) -> list[str]:
    """Return what lies in `directory` beside the mark of a step that has begun."""
    return sorted(path.name for path in directory.iterdir() if path.name != UNFINISHED_NAME)


def _foreign(directory: Path, names: Sequence[str]) -> ConfigError:
    others = f" and {len(names) - 1:,} more" if len(names) > 1 else ""
    return ConfigError(
        f"{directory} holds {names[0]}{others}, which this command has not written",
        hint="name a directory that is new or empty; nothing is ever overwritten",
    )


def _check_same_step(directory: Path, what: str, found: Lineage, expected: Lineage) -> None:
    if found == expected:
        return
    keys = _differing_keys(found.config, expected.config)
    differences = {
        f"by {found.tool}": found.tool != expected.tool,
        f"by version {found.version}": found.version != expected.version,
        f"with other values of {', '.join(keys)}": bool(keys),
        "from other inputs": (found.parents, found.ancestors) != (expected.parents, expected.ancestors),
    }
    how = " and ".join(difference for difference, holds in differences.items() if holds)
    raise ConfigError(
        f"{directory} already holds {what} of {found.tool} {found.version}, made {how or 'otherwise'}",
        hint="choose another output directory, or delete this one",
    )


def _differing_keys(found: Mapping[str, Any], expected: Mapping[str, Any]) -> list[str]:
    """Return the dotted keys, sorted, whose values two nested tables do not share."""
    keys = []
    for key in sorted({*found, *expected}):
        left, right = found.get(key), expected.get(key)
        if isinstance(left, Mapping) and isinstance(right, Mapping):
            keys += [f"{key}.{inner}" for inner in _differing_keys(left, right)]
        elif left != right:
            keys.append(key)
    return keys


def describe_file(path: Path, relative_to: Path, num_samples: int) -> Shard:
    """Return the `Shard` entry of a file that already lies on disk; reads it once for its sha256."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
        size = file.tell()
    relative = path.relative_to(relative_to).as_posix()
    return Shard(path=relative, num_samples=num_samples, num_bytes=size, sha256=digest.hexdigest())


def describe_bytes(data: bytes | memoryview, path: str, num_samples: int) -> Shard:
    """Return the `Shard` entry of a file at `path`, below the dataset's directory, that holds `data`."""
    return Shard(path=path, num_samples=num_samples, num_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key under which `shard-2.tar` comes before `shard-10.tar`."""
    return tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", name))
