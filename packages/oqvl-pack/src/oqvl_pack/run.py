"""The stages: pack a dataset, plan without writing, show a pack, check a packed dataset against its source.

Packing runs in steps, each spread over processes; 1 and 4 are resumed after a kill from the files that are finished:

    1. every source shard: read, tokenise                                       -> work/00000.npz ...
    2. every source: choose the documents that its share or budget asks for     (in memory)
    3. every source shard packs alone and keeps the full packs; the leftovers
       are packed together, in shard order; packs are numbered                  (in memory)
    4. every output shard: records from the work files, and of the images
       their bytes or where they lie                                            -> shard-00000.tar | .arrow ...

The manifest is written when all shards are there; then the work files go.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from oqvl_pack.check import check_packed
from oqvl_pack.config import CheckConfig, PackConfig, PlanConfig, ShowConfig
from oqvl_pack.corpus.packed_corpus import PackedCorpus, pack_corpus
from oqvl_pack.corpus.work_files import remove_work
from oqvl_pack.corpus.worker import Job, OutputPart, write_shard
from oqvl_pack.corpus.write_timing import write_on_trial
from oqvl_pack.documents.source import TEMPLATE_OF_KIND, open_sources, relative_directory
from oqvl_pack.drawing import draw_pack, picture_format
from oqvl_pack.forecast import forecast
from oqvl_pack.report import CheckReport, PackReport, PlanReport, ShowReport
from oqvl_pack.version import VERSION
from oqvl_shards.config import StageConfig
from oqvl_shards.dataset import Dataset, open_dataset, write_manifest
from oqvl_shards.errors import ConfigError
from oqvl_shards.manifest import FieldSpec, Kind, Lineage, Manifest, PackedDetails, PackedSource, Sha256
from oqvl_shards.packed import PackedReader
from oqvl_shards.packed.reference import open_sources as open_packed_sources
from oqvl_shards.receipt import Receipt, remove_receipts, step_digest
from oqvl_shards.shard_map import map_shards, prepare_workers
from oqvl_shards.stage_output import finished_output

_FIELDS = {
    "embedded": (
        FieldSpec(name="record", dtype="safetensors", description="tokens, targets and boundaries of the documents"),
        FieldSpec(name="images", dtype="image", description="the source's files, in the order of their placeholders"),
    ),
    "reference": (
        FieldSpec(name="record", dtype="struct", description="tokens, targets and boundaries of the documents"),
        FieldSpec(name="image_references", dtype="struct", description="where the source's files lie, in that order"),
    ),
}


class PinnedConfig(StageConfig):
    """What the lineage records beside the parents: the configuration, and which tokenizer its path led to."""

    config: PackConfig
    tokenizer_sha256: Sha256


def pack_dataset(config: PackConfig) -> PackReport:
    """Pack one or several datasets of image-text pairs, conversations or interleaved documents.

    Raises:
        ConfigError: When the tokenizer lacks a special token, the template does not fit a source, a source has less
            than the mixture wants of it, or the output directory holds something else.
        DataError: When the sources hold no sample that can be packed, or by default one that is longer than a pack.
    """
    sources = open_sources(config)
    job = _job(config, sources)
    pinned = PinnedConfig(config=config, tokenizer_sha256=job.tokenizer().sha256)
    lineage = Lineage.derive("oqvl-pack run", VERSION, pinned, [source.manifest for source in sources])
    dataset = finished_output(config.output, lineage)
    if dataset is None:
        job = replace(job, step=step_digest(lineage))
        corpus = pack_corpus(sources, job)
        receipts = _write(job, corpus)
        dataset = write_manifest(config.output, _manifest(job, sources, corpus, receipts, lineage))
    remove_receipts(config.output)
    remove_work(config.output)
    return PackReport.of(dataset)


def plan_dataset(config: PlanConfig) -> PlanReport:
    """Find out what `pack_dataset` would write, and what that takes and saves: tokenise and pack, and keep nothing.

    How long writing takes is measured on some packs, in a temporary directory on the disk of `output`.

    Raises:
        ConfigError: As `pack_dataset`.
        DataError: As `pack_dataset`.
    """
    sources = open_sources(config)
    job = _job(config, sources)
    corpus = pack_corpus(sources, job)
    return forecast(corpus, config, write_on_trial(corpus, job))


def show_pack(config: ShowConfig) -> ShowReport:
    """Draw one pack: its documents as coloured spans, its pictures, what is a target and what is not.

    Raises:
        ConfigError: When there is no such pack, no folder for the picture, no format of its suffix, or when the packs
            were made with another tokenizer.
    """
    picture_format(config.output)
    reader = PackedReader(config.packed)
    if not -len(reader) <= config.pack < len(reader):
        raise ConfigError(f"pack is {config.pack}, {config.packed} holds {len(reader)}")
    pack = reader[config.pack]
    num_broken_images = draw_pack(pack, reader.details, config.output, config.tokenizer)
    return ShowReport(
        pack=pack.pack_id,
        image=str(config.output),
        num_tokens=pack.record.num_tokens,
        bin_capacity=reader.details.bin_capacity,
        num_targets=int(pack.record.is_target.sum()),
        num_broken_images=num_broken_images,
        documents=pack.record.document_keys,
    )


def check_dataset(config: CheckConfig) -> CheckReport:
    """Prove that a packed dataset holds every sample of its sources once, or accounts for it, and nothing else.

    The sources are read and tokenised again under the configuration that the manifest records.

    Raises:
        ConfigError: When `packed` was not made from these sources with `tokenizer`.
        DataError: When anything differs; the first difference is named.
    """
    packed = open_dataset(config.packed, Kind.PACKED)
    recorded = packed.manifest.lineage
    pack_config = PackConfig.from_values(_recorded_values(config, packed), where=str(packed.path))
    sources = open_sources(pack_config)
    job = _job(pack_config, sources)
    _check_origin(config, "source", recorded.parents, {source.manifest.digest(): source.path for source in sources})
    expected = str(recorded.config.get("tokenizer_sha256"))
    _check_origin(config, "tokenizer", [expected], {job.tokenizer().sha256: config.tokenizer})
    return check_packed(packed, sources, job)


def _check_origin(config: CheckConfig, what: str, expected: Sequence[str], found: Mapping[str, Path]) -> None:
    """Compare digests with those of files and directories."""
    if list(found) != list(expected):
        named = ", ".join(f"{path} ({digest})" for digest, path in found.items())
        raise ConfigError(
            f"{what}: {config.packed} was packed from another: expected digest {', '.join(expected)}, found {named}",
            hint=f"name the {what} that it was packed from, unchanged; of a mixture all of them, in order",
        )


def _recorded_values(config: CheckConfig, packed: Dataset) -> dict[str, Any]:
    """Return the configuration that `packed` was made with, the paths being those of `config`."""
    values = dict(packed.manifest.lineage.config.get("config", {}))
    paths = config.mixture or ((config.source,) if config.source else ())
    details = packed.manifest.details
    if not paths and isinstance(details, PackedDetails) and details.layout == "reference":
        paths = tuple(source.dataset.path for source in open_packed_sources(packed))
    if not paths:
        raise ConfigError(
            f"source: {config.packed} holds its images and does not know where they came from",
            hint="name the source that it was packed from, or with mixture all of them, in order",
        )
    if values.get("mixture"):
        parts = zip_longest(values["mixture"], paths)
        values["mixture"] = [{**(part or {}), "source": path} for part, path in parts if path is not None]
    else:
        values["source"] = paths[0] if len(paths) == 1 else None
    return {**values, "output": config.packed, "tokenizer": config.tokenizer, **config.workers}


def _job(config: PackConfig, sources: Sequence[Dataset]) -> Job:
    """Return the job, after its tokenizer is found to have every special token."""
    prepare_workers(write_shard.__module__, num_workers=config.num_workers, engine=config.engine)
    job = Job(config, frozenset(TEMPLATE_OF_KIND[source.manifest.kind] for source in sources))
    return replace(job, image_token_id=job.tokenizer().special_id(config.image_token))


def _write(job: Job, corpus: PackedCorpus) -> list[Receipt]:
    """Step 4."""
    num, packs = job.config.packs_per_shard, corpus.packs
    parts = []
    for start in range(0, packs.num_packs, num):
        table = packs.part(start, min(start + num, packs.num_packs))
        shards = {index: corpus.parts[index].shard for index in np.unique(table.shards).tolist()}
        parts.append(OutputPart(start, table, shards))
    return map_shards(
        partial(write_shard, job=job),
        parts,
        **job.config.workers,
        description="write",
        name=job.output_name,
    )


def _manifest(
    job: Job, sources: Sequence[Dataset], corpus: PackedCorpus, receipts: Sequence[Receipt], lineage: Lineage
) -> Manifest:
    config, tokenizer, bounds = job.config, job.tokenizer(), corpus.bounds
    total = sum((Counter(receipt.statistics) for receipt in receipts), Counter[str]())
    num_packs = sum(receipt.shard.num_samples for receipt in receipts)
    names = [source.manifest.name for source in sources]
    return Manifest(
        name=config.name or f"{'-'.join(names)}-packed",
        details=PackedDetails(
            layout=config.layout,
            bin_capacity=config.bin_capacity,
            visual_tokens_per_image=0 if config.visual_tokens_field else config.visual_tokens_per_image,
            image_token_id=tokenizer.special_id(config.image_token),
            pad_token_id=tokenizer.special_id(config.pad_token),
            vocab_size=tokenizer.vocab_size,
            tokenizer_sha256=tokenizer.sha256,
            num_documents=total["num_documents"],
            num_images=total["num_images"],
            num_tokens=total["num_tokens"],
            num_target_tokens=total["num_target_tokens"],
            lower_bound=bounds.best,
            sources=_packed_sources(config, sources, corpus),
        ),
        shards=tuple(receipt.shard for receipt in receipts),
        fields=_FIELDS[config.layout],
        account=corpus.account(),
        statistics={
            **corpus.statistics(),
            **{name: tokens for budget in corpus.token_budgets for name, tokens in budget.statistics().items()},
            "lower_bound_cardinality": bounds.cardinality,
            "lower_bound_martello_toth": bounds.martello_toth,
            "lower_bound_max_documents": bounds.max_items,
            "lower_bound_volume": bounds.volume,
            "num_leftover_documents": corpus.num_leftovers,
            "num_packs": num_packs,
            "utilization": round(total["num_tokens"] / (num_packs * config.bin_capacity), 6),
        },
        lineage=lineage,
    )


def _packed_sources(config: PackConfig, sources: Sequence[Dataset], corpus: PackedCorpus) -> tuple[PackedSource, ...]:
    return tuple(
        PackedSource(
            name=source.manifest.name,
            sha256=source.manifest.digest(),
            path=relative_directory(source, config.output) if config.layout == "reference" else "",
            num_tokens=corpus.num_tokens(index),
            account=corpus.account(index),
        )
        for index, source in enumerate(sources)
    )
