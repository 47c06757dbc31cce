"""Check a dataset against its manifest: are all files there and whole, with the right sizes, digests and samples?"""

from __future__ import annotations

from enum import StrEnum
from functools import partial
from itertools import chain
from pathlib import Path

from pydantic import Field

from oqvl_shards.config import Frozen
from oqvl_shards.dataset import Dataset, describe_file
from oqvl_shards.errors import DataError
from oqvl_shards.manifest import Kind, Manifest, PackedDetails, Shard
from oqvl_shards.packed.reference import ReferenceShard, open_source
from oqvl_shards.shard_map import map_shards
from oqvl_shards.tar.reader import ShardReader
from oqvl_shards.tar.sample import MEMBER_TYPES, PACK_MEMBER_TYPES

TAR_KINDS = frozenset({Kind.IMAGE_TEXT, Kind.CONVERSATION, Kind.INTERLEAVED, Kind.PACKED})
"""Kinds of datasets whose shards are tars. Shards of packed datasets are tars only in the layout `embedded`."""


class Fault(StrEnum):
    """The kinds of faults of a shard."""

    MISSING = "missing"
    SIZE = "size"
    SHA256 = "sha256"
    DAMAGED = "damaged"
    NUM_SAMPLES = "num_samples"
    SOURCE = "source"


class Problem(Frozen):
    """One thing that is wrong with one shard."""

    shard: str = Field(description="the shard's path below the dataset's directory")
    fault: Fault = Field(description="what is wrong")
    detail: str = Field(description="what was found and expected")


class CheckReport(Frozen):
    """The result of a check."""

    name: str = Field(description="name of the dataset")
    num_shards: int = Field(description="shards that were checked")
    num_samples: int = Field(description="samples according to the manifest")
    num_bytes: int = Field(description="bytes according to the manifest")
    problems: tuple[Problem, ...] = Field(description="everything that is wrong, in the order of the shards")

    @property
    def is_good(self) -> bool:
        """Whether the check found no problem."""
        return not self.problems

    def raise_if_failed(self) -> None:
        """Raise if there is a problem.

        Raises:
            DataError: If a shard is missing, differs from the manifest, or is damaged. The message names every problem.
        """
        if self.problems:
            lines = [f"  {problem.shard}: {problem.fault}: {problem.detail}" for problem in self.problems]
            raise DataError(
                "\n".join([f"dataset {self.name!r} has {len(lines)} problem(s)", *lines]),
                hint="copy the named shards again, or make the dataset again",
            )


def holds_tars(manifest: Manifest) -> bool:
    """Return whether the shards of a dataset are tars."""
    details = manifest.details
    return manifest.kind in TAR_KINDS and not (isinstance(details, PackedDetails) and details.layout == "reference")


def check_shards(dataset: Dataset, *, num_workers: int = 0) -> CheckReport:
    """Check every shard of `dataset` and collect all problems.

    If the dataset is packed in the layout `reference`, the source shards that it points into are checked too.

    Args:
        dataset: The dataset to check.
        num_workers: Number of processes that read shards; 0 and 1 work in this process.
    """
    manifest = dataset.manifest
    problems = map_shards(
        partial(_check_shard, dataset=dataset),
        manifest.shards,
        num_workers=num_workers,
        description="check",
        name=lambda shard: shard.path,
    )
    return CheckReport(
        name=manifest.name,
        num_shards=len(manifest.shards),
        num_samples=manifest.num_samples,
        num_bytes=manifest.num_bytes,
        problems=(*chain.from_iterable(problems), *_check_sources(dataset, num_workers)),
    )


def _check_sources(dataset: Dataset, num_workers: int) -> list[Problem]:
    """Check the datasets that packs of the layout `reference` point into."""
    details = dataset.manifest.details
    problems: list[Problem] = []
    if not isinstance(details, PackedDetails) or details.layout != "reference":
        return problems
    for source in details.sources:
        try:
            of_source = check_shards(open_source(dataset, source).dataset, num_workers=num_workers).problems
        except DataError as error:
            of_source = (Problem(shard="", fault=Fault.SOURCE, detail=error.message),)
        problems += [problem.model_copy(update={"shard": f"{source.path}/{problem.shard}"}) for problem in of_source]
    return problems


def _check_shard(shard: Shard, dataset: Dataset) -> list[Problem]:
    """Check one shard: its file, its bytes, and the samples in it."""
    directory, kind = dataset.path, dataset.manifest.kind
    path = directory / shard.path
    if not path.is_file():
        return [Problem(shard=shard.path, fault=Fault.MISSING, detail="no such file")]
    file = describe_file(path, directory, shard.num_samples)
    problems = []
    if file.num_bytes != shard.num_bytes:
        detail = f"found {file.num_bytes} bytes, expected {shard.num_bytes}"
        problems.append(Problem(shard=shard.path, fault=Fault.SIZE, detail=detail))
    if file.sha256 != shard.sha256:
        detail = f"found {file.sha256}, expected {shard.sha256}"
        problems.append(Problem(shard=shard.path, fault=Fault.SHA256, detail=detail))
    if path.suffix == ".arrow":
        problems += _check_packs(shard, path)
    elif kind in TAR_KINDS:
        problems += _check_tar(shard, path, PACK_MEMBER_TYPES if kind is Kind.PACKED else MEMBER_TYPES)
    elif path.suffix == ".parquet":
        problems += _check_parquet(shard, path)
    return problems


def _check_tar(shard: Shard, path: Path, member_types: frozenset[str]) -> list[Problem]:
    problems = []
    with ShardReader(path, member_types=member_types) as reader:
        if reader.index.damage not in (None, shard.known_damage):
            detail = f"{reader.index.damage} at byte {reader.index.end}"
            problems.append(Problem(shard=shard.path, fault=Fault.DAMAGED, detail=detail))
        return problems + _check_count(shard, len(reader.samples))


def _check_packs(shard: Shard, path: Path) -> list[Problem]:
    try:
        packs = ReferenceShard(path, shard.num_samples, ())
        for number in range(shard.num_samples):
            packs.record(number)
    except DataError as error:
        return [Problem(shard=shard.path, fault=Fault.DAMAGED, detail=error.message)]
    return []


def _check_parquet(shard: Shard, path: Path) -> list[Problem]:
    import pyarrow.parquet

    try:
        num_rows = pyarrow.parquet.read_metadata(path).num_rows
    except (OSError, pyarrow.ArrowException) as error:
        return [Problem(shard=shard.path, fault=Fault.DAMAGED, detail=f"not a parquet file: {error}")]
    return _check_count(shard, num_rows)


def _check_count(shard: Shard, num_samples: int) -> list[Problem]:
    if num_samples == shard.num_samples:
        return []
    detail = f"found {num_samples} samples, expected {shard.num_samples}"
    return [Problem(shard=shard.path, fault=Fault.NUM_SAMPLES, detail=detail)]
