"""The stages: pack a dataset, forecast without writing, show a pack, check a packed dataset against its source.

Packing runs in four steps, each spread over processes. After a kill, steps 1 and 4 resume from the finished files:

    1. read and tokenise each source shard                           -> work/00000.npz ...
    2. choose the documents for each source's share or budget        (in memory)
    3. pack each source shard on its own and keep the full packs;
       pack the leftovers together; number the packs                 (in memory)
    4. write each output shard: records from the work files, and
       the bytes of their images, or where these are stored          -> shard-00000.tar | .arrow ...

The manifest is written when all shards are finished, and then the work files are removed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from oqvl_pack.check import check_origin, check_packed, recorded_config
from oqvl_pack.config import CheckConfig, PackConfig, PlanConfig, ShowConfig
from oqvl_pack.corpus.packed_corpus import PackedCorpus, pack_corpus
from oqvl_pack.corpus.work_files import WORK_DIRECTORY
from oqvl_pack.corpus.worker import Job, OutputShard, write_shard
from oqvl_pack.corpus.write_timing import time_writing
from oqvl_pack.documents.source import TEMPLATE_OF_KIND, open_sources, relative_directory
from oqvl_pack.drawing import draw_pack, picture_format
from oqvl_pack.forecast import forecast
from oqvl_pack.report import CheckReport, PackReport, PlanReport, ShowReport
from oqvl_shards.dataset import Dataset, open_dataset
from oqvl_shards.errors import ConfigError
from oqvl_shards.manifest import FieldSpec, Kind, PackedDetails, PackedSource
from oqvl_shards.packed import PackedReader
from oqvl_shards.receipt import Receipt
from oqvl_shards.shard_map import map_shards, prepare_workers
from oqvl_shards.stage_output import StageOutput, stage_output

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


def pack_dataset(config: PackConfig) -> PackReport:
    """Pack one or several datasets of image-text pairs, conversations or interleaved documents.

    Raises:
        ConfigError: If the tokenizer lacks a special token, the template does not fit a source, a source has less than
            the mixture asks for, or the output directory is in use or holds something else.
        DataError: If no sample can be packed, or (by default) a document is longer than a pack.
    """
    sources = open_sources(config)
    job = _job(config, sources)
    with stage_output(
        "oqvl-pack run",
        config.output,
        config,
        parents=[source.manifest for source in sources],
        pinned={"tokenizer_sha256": job.tokenizer().sha256},
        scratch=[WORK_DIRECTORY],
    ) as output:
        if output.dataset is None:
            job = replace(job, step=output.step)
            corpus = pack_corpus(sources, job)
            receipts = _write_shards(corpus, job)
            _finish(output, job, sources, corpus, receipts)
    return PackReport.of(output.finished())


def plan_dataset(config: PlanConfig) -> PlanReport:
    """Find out what `pack_dataset` would write, and what that costs and saves: tokenise and pack, but keep nothing.

    Writing is timed on a few packs, in a temporary directory on the disk of `output`.

    Raises:
        ConfigError: As for `pack_dataset`.
        DataError: As for `pack_dataset`.
    """
    sources = open_sources(config)
    job = _job(config, sources)
    corpus = pack_corpus(sources, job)
    return forecast(corpus, config, time_writing(corpus, job))


def show_pack(config: ShowConfig) -> ShowReport:
    """Draw one pack: its documents as coloured spans, its images, and which tokens are targets.

    Raises:
        ConfigError: If the pack or the picture's directory does not exist, the picture's suffix names no format, or the
            packs were made with another tokenizer.
    """
    picture_format(config.output)
    reader = PackedReader(config.packed)
    if not -len(reader) <= config.pack < len(reader):
        raise ConfigError(
            f"pack is {config.pack}, but {config.packed} has {len(reader)} packs",
            hint=f"name one from 0 to {len(reader) - 1}, or count from the end with a negative number",
        )
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
    """Prove that a packed dataset holds each sample of its sources once or accounts for it, and holds nothing else.

    The sources are read and tokenised again with the configuration that the manifest records.

    Raises:
        ConfigError: If `packed` was not made from these sources with `tokenizer`.
        DataError: If anything differs; the message names the first difference.
    """
    packed = open_dataset(config.packed, Kind.PACKED)
    pack_config = recorded_config(config, packed)
    sources = open_sources(pack_config)
    job = _job(pack_config, sources)
    lineage = packed.manifest.lineage
    check_origin(config, "source", lineage.parents, {source.manifest.digest(): source.path for source in sources})
    tokenizer_sha256 = str(lineage.config.get("tokenizer_sha256"))
    check_origin(config, "tokenizer", [tokenizer_sha256], {job.tokenizer().sha256: config.tokenizer})
    return check_packed(packed, sources, job)


def _job(config: PackConfig, sources: Sequence[Dataset]) -> Job:
    """Check that the tokenizer has every special token, and return the job."""
    prepare_workers(write_shard.__module__, num_workers=config.num_workers, engine=config.engine)
    job = Job(config, frozenset(TEMPLATE_OF_KIND[source.manifest.kind] for source in sources))
    return replace(job, image_token_id=job.tokenizer().special_id(config.image_token))


def _write_shards(corpus: PackedCorpus, job: Job) -> list[Receipt]:
    """Cut the packs into output shards, and write those that an earlier run has not written (step 4)."""
    num_packs, per_shard = corpus.packs.num_packs, job.config.packs_per_shard
    output_shards = []
    for first_pack in range(0, num_packs, per_shard):
        packs = corpus.packs.between(first_pack, min(first_pack + per_shard, num_packs))
        source_shards = {index: corpus.input_shards[index].shard for index in np.unique(packs.shards).tolist()}
        output_shards.append(OutputShard(first_pack, packs, source_shards))
    return map_shards(
        partial(write_shard, job=job),
        output_shards,
        **job.config.workers,
        description="write",
        name=job.output_name,
    )


def _finish(
    output: StageOutput, job: Job, sources: Sequence[Dataset], corpus: PackedCorpus, receipts: Sequence[Receipt]
) -> None:
    """Write the manifest."""
    config, tokenizer, bounds = job.config, job.tokenizer(), corpus.bounds
    total = sum((Counter(receipt.statistics) for receipt in receipts), Counter[str]())
    num_packs = sum(receipt.shard.num_samples for receipt in receipts)
    names = [source.manifest.name for source in sources]
    output.finish(
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
        shards=receipts,
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
    )


def _packed_sources(config: PackConfig, sources: Sequence[Dataset], corpus: PackedCorpus) -> tuple[PackedSource, ...]:
    """Return what the manifest says about each source; only layout `reference` needs its path."""
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
