"""The stages: pack a dataset, plan without writing, show a pack, check a packed dataset against its source.

Packing runs in three steps, each spread over processes and resumed after a kill from the files that are finished:

    1. every source shard: read, tokenise, pack alone, keep the full packs      -> work/00000.npz ...
    2. all leftovers together, in shard order; packs are numbered               (in memory)
    3. every output shard: records from the work files, images from the source  -> shard-00000.tar ...

The manifest is written when all shards are there; then the work files go.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from functools import partial

import numpy as np

from oqvl_pack.bounds import LowerBounds, lower_bounds
from oqvl_pack.config import CheckConfig, PackConfig, ShowConfig
from oqvl_pack.division import PackTable, join_divisions
from oqvl_pack.drawing import draw_pack
from oqvl_pack.emission import count_sizes
from oqvl_pack.report import CheckReport, PackReport, PlanReport, ShowReport
from oqvl_pack.verification import check_packed
from oqvl_pack.version import VERSION
from oqvl_pack.worker import Job, ShardSummary, tokenize_shard, write_shard
from oqvl_pack.workspace import remove_work
from oqvl_shards.config import StageConfig
from oqvl_shards.errors import ConfigError, DataError
from oqvl_shards.manifest import (
    Account,
    Dataset,
    FieldSpec,
    Kind,
    Lineage,
    Manifest,
    PackedDetails,
    Sha256,
    finished_output,
    open_dataset,
    write_manifest,
)
from oqvl_shards.packed import PackedReader
from oqvl_shards.receipt import Receipt, remove_receipts, step_digest
from oqvl_shards.shard_map import map_shards

_KIND_OF_TEMPLATE = {"caption": Kind.IMAGE_TEXT, "conversation": Kind.CONVERSATION}
_FIELDS = (
    FieldSpec(name="record", dtype="safetensors", description="tokens, targets and boundaries of the documents"),
    FieldSpec(name="images", dtype="image", description="the source's files, in the order of their placeholders"),
)


class PinnedConfig(StageConfig):
    """What the lineage records beside the parents: the configuration, and which tokenizer its path led to."""

    config: PackConfig
    tokenizer_sha256: Sha256


def pack_dataset(config: PackConfig) -> PackReport:
    """Pack a dataset of image-text pairs or conversations into training sequences.

    Raises:
        ConfigError: When the tokenizer lacks a special token, the template does not fit the source, or the output
            directory holds something else.
        DataError: When the source holds no sample that can be packed, or by default one that is longer than a pack.
    """
    source = _open_source(config)
    pinned = PinnedConfig(config=config, tokenizer_sha256=Job(config, source).tokenizer().sha256)
    lineage = Lineage.derive("oqvl-pack run", VERSION, pinned, [source.manifest])
    dataset = finished_output(config.output, lineage)
    if dataset is None:
        job = Job(config, source, step_digest(lineage))
        summaries = _tokenize(job)
        packs, bounds = _join(summaries, config)
        receipts = _write(job, packs)
        dataset = write_manifest(config.output, _manifest(job, summaries, receipts, bounds, lineage))
    remove_receipts(config.output)
    remove_work(config.output)
    return PackReport.of(dataset)


def plan_dataset(config: PackConfig) -> PlanReport:
    """Find out what `pack_dataset` would write: tokenise and pack, but write nothing.

    Raises:
        ConfigError: As `pack_dataset`.
        DataError: As `pack_dataset`.
    """
    started = time.perf_counter()
    summaries = _tokenize(Job(config, _open_source(config)))
    tokenized = time.perf_counter()
    packs, bounds = _join(summaries, config)
    account = Account.total(summary.account for summary in summaries)
    return PlanReport(
        num_samples=account.num_in,
        rejected=account.rejected,
        num_documents=account.num_kept,
        num_tokens=sum(int(summary.lengths.sum()) for summary in summaries),
        num_packs=packs.num_packs,
        num_leftovers=sum(len(summary.division.leftovers) for summary in summaries),
        bin_capacity=config.bin_capacity,
        bound_volume=bounds.volume,
        bound_martello_toth=bounds.martello_toth,
        bound_cardinality=bounds.cardinality,
        bound_max_documents=bounds.max_items,
        seconds_tokenizing=tokenized - started,
        seconds_packing=time.perf_counter() - tokenized,
    )


def show_pack(config: ShowConfig) -> ShowReport:
    """Draw one pack: its documents as coloured spans, its pictures, what is a target and what is not.

    Raises:
        ConfigError: When there is no such pack.
    """
    reader = PackedReader(config.packed)
    if not -len(reader) <= config.pack < len(reader):
        raise ConfigError(f"pack is {config.pack}, {config.packed} holds {len(reader)}")
    pack = reader[config.pack]
    draw_pack(pack, reader.details, config.output, config.tokenizer)
    return ShowReport(
        pack=pack.pack_id,
        image=str(config.output),
        num_tokens=pack.record.num_tokens,
        bin_capacity=reader.details.bin_capacity,
        num_targets=int(pack.record.is_target.sum()),
        documents=pack.record.document_keys,
    )


def check_dataset(config: CheckConfig) -> CheckReport:
    """Prove that a packed dataset holds every sample of its source once, or accounts for it, and nothing else.

    The source is read and tokenised again under the configuration that the manifest records.

    Raises:
        ConfigError: When `packed` was not made from `source` with `tokenizer`.
        DataError: When anything differs; the first difference is named.
    """
    packed = open_dataset(config.packed, Kind.PACKED)
    recorded = packed.manifest.lineage
    values = recorded.config.get("config", {})
    paths = {"source": config.source, "output": config.packed, "tokenizer": config.tokenizer}
    pack_config = PackConfig.from_values({**values, **paths, "num_workers": config.num_workers}, where=str(packed.path))
    job = Job(pack_config, _open_source(pack_config))
    found = (job.source.manifest.digest(), job.tokenizer().sha256)
    expected = (*recorded.parents, recorded.config.get("tokenizer_sha256"))
    if found != expected:
        raise ConfigError(
            f"{config.packed} was packed from dataset and tokenizer {expected}, found {found}",
            hint="name the source and the tokenizer.json that it was packed from",
        )
    return check_packed(packed, job)


def _open_source(config: PackConfig) -> Dataset:
    source = open_dataset(config.source, *_KIND_OF_TEMPLATE.values())
    expected = _KIND_OF_TEMPLATE[config.template]
    if source.manifest.kind is not expected:
        raise ConfigError(
            f"template {config.template!r} packs a dataset of kind {expected.value}, "
            f"{config.source} is of kind {source.manifest.kind.value}",
            hint="set template=conversation for conversations, template=caption for image-text pairs",
        )
    return source


def _tokenize(job: Job) -> list[ShardSummary]:
    """Step 1."""
    job.tokenizer()  # a missing special token is named before any shard is read
    return map_shards(
        partial(tokenize_shard, job=job),
        range(len(job.source.manifest.shards)),
        num_workers=job.config.num_workers,
        description="tokenise",
        name=job.source_name,
    )


def _join(summaries: Sequence[ShardSummary], config: PackConfig) -> tuple[PackTable, LowerBounds]:
    """Step 2: number all packs, and find how many there must be at least."""
    lengths = [summary.lengths for summary in summaries]
    all_lengths = np.concatenate([np.zeros(0, dtype=np.int64), *lengths])
    if not len(all_lengths):
        account = Account.total(summary.account for summary in summaries)
        raise DataError(f"{config.source} holds no sample that can be packed; left out: {account.rejected}")
    packs = join_divisions([summary.division for summary in summaries], lengths, config)
    histogram = count_sizes(all_lengths, int(all_lengths.max()))
    return packs, lower_bounds(histogram, config.bin_capacity, config.max_documents)


def _write(job: Job, packs: PackTable) -> list[Receipt]:
    """Step 3."""
    num = job.config.packs_per_shard
    starts = range(0, packs.num_packs, num)
    return map_shards(
        partial(write_shard, job=job),
        [(start, packs.part(start, min(start + num, packs.num_packs))) for start in starts],
        num_workers=job.config.num_workers,
        description="write",
        name=job.output_name,
    )


def _manifest(
    job: Job, summaries: Sequence[ShardSummary], receipts: Sequence[Receipt], bounds: LowerBounds, lineage: Lineage
) -> Manifest:
    config, tokenizer = job.config, job.tokenizer()
    total = sum((Counter(receipt.statistics) for receipt in receipts), Counter[str]())
    num_packs = sum(receipt.shard.num_samples for receipt in receipts)
    return Manifest(
        name=config.name or f"{job.source.manifest.name}-packed",
        details=PackedDetails(
            bin_capacity=config.bin_capacity,
            visual_tokens_per_image=config.visual_tokens_per_image,
            image_token_id=tokenizer.special_id(config.image_token),
            pad_token_id=tokenizer.special_id(config.pad_token),
            vocab_size=tokenizer.vocab_size,
            tokenizer_sha256=tokenizer.sha256,
            num_documents=total["num_documents"],
            num_images=total["num_images"],
            num_tokens=total["num_tokens"],
            num_target_tokens=total["num_target_tokens"],
            lower_bound=bounds.best,
        ),
        shards=tuple(receipt.shard for receipt in receipts),
        fields=_FIELDS,
        account=Account.total(summary.account for summary in summaries),
        statistics={
            "lower_bound_cardinality": bounds.cardinality,
            "lower_bound_martello_toth": bounds.martello_toth,
            "lower_bound_max_documents": bounds.max_items,
            "lower_bound_volume": bounds.volume,
            "num_leftover_documents": sum(len(summary.division.leftovers) for summary in summaries),
            "num_packs": num_packs,
            "utilization": round(total["num_tokens"] / (num_packs * config.bin_capacity), 6),
        },
        lineage=lineage,
    )
