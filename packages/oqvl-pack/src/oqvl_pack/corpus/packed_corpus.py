"""All documents of all sources, tokenised, chosen and packed: everything but writing."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from oqvl_pack.binpacking.bounds import LowerBounds, lower_bounds
from oqvl_pack.binpacking.counting_sort import count_sizes
from oqvl_pack.corpus.shard_packing import PackTable, join_divisions
from oqvl_pack.corpus.worker import InputPart, Job, ShardSummary, divide_part, tokenize_shard
from oqvl_pack.documents.mixture import LEFT_OUT, choose_by_shard
from oqvl_pack.documents.source import list_shards
from oqvl_pack.report import TokenBudget
from oqvl_shards.dataset import Dataset
from oqvl_shards.errors import DataError
from oqvl_shards.manifest import Account
from oqvl_shards.shard_map import map_shards

Result = TypeVar("Result")

_MIN_POOL_DOCUMENTS = 1_000_000  # below, processes take longer to start than packing takes


@dataclass(frozen=True)
class PackedCorpus:
    """What is known once all is packed and nothing is written.

    Args:
        source_names: Names of the sources.
        asked_tokens: For each source the tokens that its share or budget asks for; None without either.
        parts: All source shards, with lengths and choice.
        summaries: What each of them holds.
        packs: The packs.
        bounds: Numbers of packs that no packing of these documents can stay below.
        num_leftovers: Documents that are packed across shards.
        seconds_tokenizing: Seconds of reading and tokenising.
        seconds_packing: Seconds of choosing, packing and the bounds.
    """

    source_names: Sequence[str]
    asked_tokens: Sequence[int | None]
    parts: Sequence[InputPart]
    summaries: Sequence[ShardSummary]
    packs: PackTable
    bounds: LowerBounds
    num_leftovers: int
    seconds_tokenizing: float
    seconds_packing: float

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Expanded length in tokens of every packed document, int64 [D]."""
        return _of_packed([summary.lengths for summary in self.summaries], self.parts)

    @property
    def num_stored(self) -> NDArray[np.int64]:
        """Stored tokens of every packed document, one placeholder an image, int64 [D]."""
        return _of_packed([summary.num_stored for summary in self.summaries], self.parts)

    @property
    def num_images(self) -> NDArray[np.int64]:
        """Images of every packed document, int64 [D]."""
        return _of_packed([summary.num_images for summary in self.summaries], self.parts)

    @property
    def image_bytes(self) -> NDArray[np.int64]:
        """Bytes that the images of every packed document take in a tar, headers included, int64 [D]."""
        return _of_packed([summary.image_bytes for summary in self.summaries], self.parts)

    def account(self, source: int | None = None) -> Account:
        """Return what became of the samples of one source, or of all."""
        return Account.total(
            _account(part, summary)
            for part, summary in zip(self.parts, self.summaries, strict=True)
            if source in (None, part.shard.source)
        )

    def num_tokens(self, source: int) -> int:
        """Tokens of one source's packed documents, visual tokens included."""
        pairs = [pair for pair in zip(self.parts, self.summaries, strict=True) if pair[0].shard.source == source]
        return int(_of_packed([summary.lengths for _, summary in pairs], [part for part, _ in pairs]).sum())

    @property
    def token_budgets(self) -> tuple[TokenBudget, ...]:
        """What each source that is measured in tokens was asked for, and what it gives."""
        return tuple(
            TokenBudget.of(name, asked, self.num_tokens(source))
            for source, (name, asked) in enumerate(zip(self.source_names, self.asked_tokens, strict=True))
            if asked is not None
        )

    def statistics(self) -> Counter[str]:
        """Counts of what happened to samples, over all shards."""
        return sum((Counter(summary.statistics) for summary in self.summaries), Counter[str]())


def pack_corpus(sources: Sequence[Dataset], job: Job) -> PackedCorpus:
    """Tokenise all source shards, choose documents, pack.

    Raises:
        ConfigError: When a source has less than the mixture wants of it.
        DataError: When no sample can be packed, or by default when one is longer than a pack.
    """
    started = time.perf_counter()
    parts = [InputPart(index, shard) for index, shard in enumerate(list_shards(sources))]
    summaries = _map(partial(tokenize_shard, job=job), parts, job, "tokenise")
    tokenized = time.perf_counter()
    lengths = [summary.lengths for summary in summaries]
    uids = [summary.uids for summary in summaries]
    choice = choose_by_shard(lengths, uids, [part.shard.source for part in parts], job.config)
    parts = [
        replace(part, lengths=one, is_chosen=is_chosen)
        for part, one, is_chosen in zip(parts, lengths, choice.is_chosen, strict=True)
    ]
    chosen_lengths = _of_packed(lengths, parts)
    if not len(chosen_lengths):
        where = ", ".join(str(source.path) for source in sources)
        rejected = sum((Counter(summary.rejected) for summary in summaries), Counter[str]())
        raise DataError(f"{where} holds no sample that can be packed; left out: {dict(rejected)}")
    divide = partial(divide_part, job=job)
    is_small = len(chosen_lengths) < _MIN_POOL_DOCUMENTS
    divisions = list(map(divide, parts)) if is_small else _map(divide, parts, job, "pack")
    packs = join_divisions(divisions, lengths, job.config)
    histogram = count_sizes(chosen_lengths, int(chosen_lengths.max()))
    return PackedCorpus(
        source_names=[source.manifest.name for source in sources],
        asked_tokens=choice.token_budgets,
        parts=parts,
        summaries=summaries,
        packs=packs,
        bounds=lower_bounds(histogram, job.config.bin_capacity, job.config.max_documents),
        num_leftovers=sum(len(division.leftovers) for division in divisions),
        seconds_tokenizing=tokenized - started,
        seconds_packing=time.perf_counter() - tokenized,
    )


def _of_packed(columns: Sequence[NDArray[np.int64]], parts: Sequence[InputPart]) -> NDArray[np.int64]:
    """Return the entries of per-document columns, one a shard, that belong to packed documents."""
    pairs = zip(columns, parts, strict=True)
    chosen = [column if part.is_chosen is None else column[part.is_chosen] for column, part in pairs]
    return np.concatenate([np.zeros(0, dtype=np.int64), *chosen])


def _account(part: InputPart, summary: ShardSummary) -> Account:
    num_documents = len(summary.lengths)
    num_chosen = num_documents if part.is_chosen is None else int(part.is_chosen.sum())
    left_out = {LEFT_OUT: num_documents - num_chosen} if num_chosen < num_documents else {}
    rejected = {**summary.rejected, **left_out}
    return Account(num_in=num_chosen + sum(rejected.values()), num_kept=num_chosen, rejected=rejected)


def _map(
    function: Callable[[InputPart], Result], parts: Sequence[InputPart], job: Job, description: str
) -> list[Result]:
    return map_shards(
        function,
        parts,
        **job.config.workers,
        description=description,
        name=lambda part: part.name,
    )
