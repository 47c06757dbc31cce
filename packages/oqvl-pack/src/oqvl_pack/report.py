"""The results of the commands, printed as a table or as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Self

from pydantic import Field

from oqvl_shards.config import Frozen
from oqvl_shards.dataset import Dataset
from oqvl_shards.manifest import PackedDetails, PackedSource
from oqvl_shards.report import readable_bytes


class TokenBudget(Frozen):
    """The tokens that a share or budget asks of a source, and the tokens that whole documents add up to."""

    name: str = Field(description="name of the source")
    asked: int = Field(description="tokens that the share or num_tokens asks for")
    reached: int = Field(description="tokens of the source's packed documents")
    gap: int = Field(description="tokens missing")

    @classmethod
    def of(cls, name: str, asked: int, reached: int) -> Self:
        """Compare `asked` and `reached`."""
        return cls(name=name, asked=asked, reached=reached, gap=asked - reached)

    def statistics(self) -> dict[str, int]:
        """Return the budget as statistics of a manifest."""
        return {f"tokens_{name}_{self.name}": getattr(self, name) for name in ("asked", "reached", "gap")}

    @classmethod
    def from_statistics(cls, source: PackedSource, statistics: Mapping[str, object]) -> tuple[Self, ...]:
        """Return the budget of `source` from the statistics of a manifest; empty if they have none."""
        asked = statistics.get(f"tokens_asked_{source.name}")
        return (cls.of(source.name, asked, source.num_tokens),) if isinstance(asked, int) else ()

    def line(self) -> tuple[str, str]:
        """Return the budget as a row of a report."""
        return "budget", f"{self.name}: {self.asked:,} tokens asked, {self.reached:,} reached, {self.gap:,} missing"


class PackReport(Frozen):
    """The result of `run`."""

    output: str = Field(description="directory of the packed dataset")
    digest: str = Field(description="digest of its manifest")
    num_samples: int = Field(description="samples of the source")
    rejected: dict[str, int] = Field(description="samples left out, by reason")
    num_documents: int = Field(description="documents in all packs")
    num_images: int = Field(description="images in all packs")
    num_tokens: int = Field(description="tokens in all packs, visual tokens included")
    num_target_tokens: int = Field(description="tokens that carry loss")
    num_packs: int = Field(description="packs")
    lower_bound: int = Field(description="lower bound on the number of packs for these documents")
    bin_capacity: int = Field(description="most tokens per pack")
    sources: tuple[PackedSource, ...] = Field(default=(), description="what became of each source")
    token_budgets: tuple[TokenBudget, ...] = Field(default=(), description="sources that are measured in tokens")

    @property
    def utilization(self) -> float:
        """Packing efficiency: tokens in all packs over the capacity of all packs."""
        return self.num_tokens / (self.num_packs * self.bin_capacity)

    @classmethod
    def of(cls, dataset: Dataset) -> Self:
        """Describe a packed dataset."""
        manifest = dataset.manifest
        details = manifest.details
        assert isinstance(details, PackedDetails)
        return cls(
            output=str(dataset.path),
            digest=manifest.digest(),
            num_samples=manifest.account.num_in,
            rejected=manifest.account.rejected,
            num_documents=details.num_documents,
            num_images=details.num_images,
            num_tokens=details.num_tokens,
            num_target_tokens=details.num_target_tokens,
            num_packs=manifest.num_samples,
            lower_bound=details.lower_bound,
            bin_capacity=details.bin_capacity,
            sources=details.sources,
            token_budgets=tuple(
                budget
                for source in details.sources
                for budget in TokenBudget.from_statistics(source, manifest.statistics)
            ),
        )

    def table(self) -> str:
        """Return the report as text."""
        return _aligned(
            ("samples", f"{self.num_samples:,}"),
            *((f"  {reason}", f"{count:,} left out") for reason, count in self.rejected.items()),
            *_source_lines(self.sources, self.num_tokens),
            *(budget.line() for budget in self.token_budgets),
            ("documents", f"{self.num_documents:,} with {self.num_images:,} images"),
            ("tokens", f"{self.num_tokens:,}, {self.num_target_tokens:,} of them targets"),
            ("packs", f"{self.num_packs:,} of {self.bin_capacity:,} tokens; lower bound {self.lower_bound:,}"),
            ("utilization", f"{self.utilization:.3%}"),
            ("output", self.output),
            ("digest", self.digest),
        )


class TrainingForecast(Frozen):
    """The cost of one epoch of training, if filled and empty slots of a sequence cost the same."""

    num_gpus: int = Field(description="number of GPUs that train")
    gpu_hours: float = Field(description="GPU hours to train on the packs")
    gpu_hours_saved_to_ffd: float = Field(description="GPU hours saved compared with first-fit decreasing")
    gpu_hours_saved_to_padding: float = Field(description="GPU hours saved compared with padded batches")

    @property
    def hours(self) -> float:
        """Wall-clock hours."""
        return self.gpu_hours / self.num_gpus

    def lines(self) -> list[tuple[str, str]]:
        """Return the forecast as rows of a report."""
        saved = f"{self.gpu_hours_saved_to_ffd:,.2f} fewer than first-fit decreasing"
        return [
            ("training", f"{self.gpu_hours:,.2f} GPU hours per epoch, {self.hours:,.2f} hours on {self.num_gpus} GPUs"),
            ("saved", f"{saved}, {self.gpu_hours_saved_to_padding:,.2f} fewer than padding"),
        ]


class PlanReport(Frozen):
    """The result of `plan`: what `run` would write."""

    num_samples: int = Field(description="samples of the source")
    rejected: dict[str, int] = Field(description="samples that would be left out, by reason")
    token_budgets: tuple[TokenBudget, ...] = Field(default=(), description="sources that are measured in tokens")
    num_documents: int = Field(description="documents")
    num_tokens: int = Field(description="tokens, visual tokens included")
    num_packs: int = Field(description="packs")
    num_leftovers: int = Field(description="documents that are packed last, across source shards")
    bin_capacity: int = Field(description="most tokens per pack")
    bound_volume: int = Field(description="lower bound: tokens / capacity")
    bound_martello_toth: int = Field(description="lower bound: Martello and Toth's L2")
    bound_cardinality: int = Field(description="lower bound: long documents that cannot share a pack")
    bound_max_documents: int = Field(description="lower bound: documents / max_documents; 0 without that limit")
    seconds_tokenizing: float = Field(description="seconds to read and tokenise")
    seconds_packing: float = Field(description="seconds to pack and to compute the bounds")
    seconds_writing_embedded: float = Field(
        description="predicted seconds to write layout embedded: what some packs took in one process, "
        "divided by num_workers"
    )
    seconds_writing_reference: float = Field(description="the same for layout reference")
    num_timed_packs: int = Field(description="packs that were written and removed to predict the seconds")
    timing_directory: str = Field(description="directory in which they were written; the seconds depend on its disk")
    bytes_embedded: int = Field(description="predicted bytes of all shards of layout embedded")
    bytes_reference: int = Field(description="predicted bytes of all shards of layout reference")
    num_sequences_ffd: int = Field(description="sequences of first-fit decreasing over all documents")
    num_slots_padded: int = Field(
        description="token slots of one document per sequence, in random batches padded to the longest document"
    )
    training: TrainingForecast | None = Field(
        default=None, description="cost of one epoch; only with tokens_per_second"
    )

    @property
    def utilization(self) -> float:
        """Packing efficiency: tokens in all packs over the capacity of all packs."""
        return self.num_tokens / (self.num_packs * self.bin_capacity)

    @property
    def lower_bound(self) -> int:
        """The largest of the bounds."""
        return max(self.bound_volume, self.bound_martello_toth, self.bound_cardinality, self.bound_max_documents)

    def table(self) -> str:
        """Return the report as text."""
        embedded = readable_bytes(self.bytes_embedded)
        writing = f"{self.seconds_writing_embedded:.2f} s embedded, {self.seconds_writing_reference:.2f} s reference"
        timed = f"{self.num_timed_packs:,} packs timed in {self.timing_directory}"
        bounds = f"volume {self.bound_volume:,}, Martello-Toth {self.bound_martello_toth:,}"
        return _aligned(
            ("samples", f"{self.num_samples:,}"),
            *((f"  {reason}", f"{count:,} left out") for reason, count in self.rejected.items()),
            *(budget.line() for budget in self.token_budgets),
            ("documents", f"{self.num_documents:,}, {self.num_leftovers:,} of them packed across shards"),
            ("tokens", f"{self.num_tokens:,}"),
            ("packs", f"{self.num_packs:,} of {self.bin_capacity:,} tokens; lower bound {self.lower_bound:,}"),
            ("bounds", f"{bounds}, cardinality {self.bound_cardinality:,}"),
            ("utilization", f"{self.utilization:.3%}"),
            ("compared", f"{self.num_sequences_ffd:,} first-fit decreasing; padded, {self._padded_fill:.2%} filled"),
            ("disk", f"about {embedded} embedded, {readable_bytes(self.bytes_reference)} reference"),
            ("seconds", f"{self.seconds_tokenizing:.2f} tokenising, {self.seconds_packing:.2f} packing"),
            ("writing", f"about {writing}, predicted from {timed}"),
            *(self.training.lines() if self.training else ()),
        )

    @property
    def _padded_fill(self) -> float:
        return self.num_tokens / self.num_slots_padded


class ShowReport(Frozen):
    """One drawn pack."""

    pack: int = Field(description="index of the pack")
    image: str = Field(description="the picture file")
    num_tokens: int = Field(description="tokens, visual tokens included")
    bin_capacity: int = Field(description="most tokens per pack")
    num_targets: int = Field(description="tokens that carry loss")
    num_broken_images: int = Field(
        default=0, description="images that cannot be decoded, which the picture crosses out"
    )
    documents: tuple[str, ...] = Field(description="source samples, {shard}/{key}, in order")

    def table(self) -> str:
        """Return the report as text."""
        return _aligned(
            ("pack", str(self.pack)),
            ("documents", f"{len(self.documents):,}"),
            ("tokens", f"{self.num_tokens:,} of {self.bin_capacity:,}, {self.num_targets:,} of them targets"),
            *((("images", f"{self.num_broken_images:,} cannot be decoded"),) if self.num_broken_images else ()),
            ("drawn to", self.image),
        )


class CheckReport(Frozen):
    """What `check` proved. If anything differs, `check` raises an error instead."""

    packed: str = Field(description="directory of the packed dataset")
    num_packs: int = Field(description="packs read")
    num_documents: int = Field(description="documents found once, with the tokens, targets and images of their sample")
    num_images: int = Field(description="images equal to those of the source, byte for byte")
    rejected: dict[str, int] = Field(description="samples accounted for as left out, by reason")

    def table(self) -> str:
        """Return the report as text."""
        return _aligned(
            ("packed", self.packed),
            ("packs", f"{self.num_packs:,} read, none over capacity"),
            ("documents", f"{self.num_documents:,}, each once, with the tokens and targets of its sample"),
            ("images", f"{self.num_images:,}, byte for byte those of the source"),
            *((f"  {reason}", f"{count:,} left out, as the manifest says") for reason, count in self.rejected.items()),
        )


def _source_lines(sources: Sequence[PackedSource], num_tokens: int) -> list[tuple[str, str]]:
    """Return one row per source, if there are several."""
    lines = []
    for source in sources if len(sources) > 1 else ():
        kept, num_in = source.account.num_kept, source.account.num_in
        share = f"{source.num_tokens:,} tokens ({source.num_tokens / num_tokens:.2%})"
        lines.append((f"  {source.name}", f"{kept:,} of {num_in:,} samples packed, {share}"))
    return lines


def _aligned(*rows: tuple[str, str]) -> str:
    """Return rows of (name, value) as text, with the values in one column."""
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:{width}}  {value}" for name, value in rows)
