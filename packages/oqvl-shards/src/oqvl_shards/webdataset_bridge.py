"""A webdataset pipeline over any dataset in tars, for people who build their own loaders."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from oqvl_shards.check import TAR_KINDS, holds_tars
from oqvl_shards.dataset import Dataset
from oqvl_shards.errors import DataError, ManifestError
from oqvl_shards.manifest import Kind
from oqvl_shards.tar.reader import ShardReader
from oqvl_shards.tar.sample import MEMBER_TYPES, PACK_MEMBER_TYPES, ReadLimits, split_name

if TYPE_CHECKING:
    from webdataset.compat import FluidWrapper


def to_webdataset(
    dataset: Dataset, *, shuffle: int = 0, seed: int = 0, limits: ReadLimits | None = None
) -> FluidWrapper:
    """Return a webdataset pipeline over the samples of `dataset`.

    Samples are dictionaries, as webdataset makes them: `__key__`, `__url__` (the shard's path on disk), and the bytes
    of each member under its suffix (`"jpg"`, `"txt"`, `"001.png"`). Continue with `.decode("pilrgb")`, `.map(...)`,
    `.batched(...)`. Shards are split over nodes and loader workers; exactly one of them reads each shard. Shards are
    read by index and not as a stream, so only the members that this package reads reach the pipeline.

    Args:
        dataset: Image-text pairs, conversations, interleaved documents, or packs (their raw members).
        shuffle: Size of the shuffle buffer, in samples. Above 0, the order of the shards is shuffled too. The order
        differs from epoch to epoch, and depends only on `seed` and the number of the epoch.
        seed: Seed of the shuffle; use the same one on all nodes.
        limits: Limits on what is read.

    Raises:
        ManifestError: If the dataset's shards are not tars, as in packs of the layout `reference`.
    """
    from webdataset.compat import FluidWrapper
    from webdataset.filters import detshuffle
    from webdataset.shardlists import split_by_node, split_by_worker

    manifest = dataset.manifest
    if manifest.kind not in TAR_KINDS:
        raise ManifestError(
            f"{dataset.path} is of kind {manifest.kind}, expected one of {', '.join(sorted(TAR_KINDS))}"
        )
    if not holds_tars(manifest):
        raise ManifestError(
            f"{dataset.path} is packed in the layout reference, whose shards are Arrow files; expected layout embedded",
            hint="pack with layout=embedded, or read it with oqvl_shards.packed.PackedReader",
        )
    shards = [{"url": str(dataset.shard_path(shard)), "num_samples": shard.num_samples} for shard in manifest.shards]
    member_types = PACK_MEMBER_TYPES if manifest.kind is Kind.PACKED else MEMBER_TYPES
    pipeline = FluidWrapper(shards)
    if shuffle > 0:
        pipeline.append(detshuffle(len(shards), initial=len(shards), seed=seed))
    pipeline.append(split_by_node)
    pipeline.append(split_by_worker)
    pipeline.append(partial(_read_samples, limits=limits, member_types=member_types))
    if shuffle > 0:
        pipeline.append(detshuffle(shuffle, initial=shuffle, seed=seed))
    return pipeline


def _read_samples(
    shards: Iterable[Mapping[str, Any]], limits: ReadLimits | None, member_types: frozenset[str]
) -> Iterator[dict[str, Any]]:
    for shard in shards:
        with ShardReader(shard["url"], limits, member_types=member_types) as reader:
            if len(reader.samples) != shard["num_samples"]:
                raise DataError(
                    f"shard {reader.path}: found {len(reader.samples)} samples, expected {shard['num_samples']}",
                    hint="run `oqvl-shards check` on the dataset",
                )
            for sample in reader.samples:
                members = {split_name(member.name)[1]: reader.read(member) for member in sample.members}
                yield {"__key__": sample.key, "__url__": shard["url"], **members}
