"""What the commands return: typed results that print as a table or as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from pydantic import Field

from oqvl_filter.score_file import DECILES
from oqvl_filter.selection.budget import OVER_BUDGET
from oqvl_shards.config import Frozen
from oqvl_shards.dataset import Dataset
from oqvl_shards.manifest import Account


class StageReport(Frozen):
    """What every command of the filter reports about the dataset it wrote."""

    path: Path = Field(description="the dataset's directory")
    digest: str = Field(description="sha256 of its manifest, which names the dataset")
    name: str = Field(description="name of the dataset")
    account: Account

    def table(self) -> str:
        """Return the report as text."""
        return "\n".join([*self._header(), *self._account_lines()])

    def _header(self) -> list[str]:
        return [f"{self.name} ({self.path})", f"  digest    {self.digest}"]

    def _account_lines(self) -> list[str]:
        rows = [("in", self.account.num_in), ("kept", self.account.num_kept)]
        rows += [(f"rejected: {reason}", count) for reason, count in self.account.rejected.items()]
        width = max(len(label) for label, _ in rows)
        share = 100 / max(self.account.num_in, 1)
        return [f"  {label:<{width}}  {count:>12,}  {count * share:5.1f}%" for label, count in rows]


class ScoreReport(StageReport):
    """Scores of a pool."""

    scorer: str = Field(description="name of the scorer")
    fingerprint: str = Field(description="sha256 of all that decides the scores")
    deciles: dict[str, tuple[float, ...]] = Field(
        description="by column: the minimum, the deciles 10 to 90, and the maximum of the samples that have a score"
    )

    @classmethod
    def of(cls, dataset: Dataset) -> Self:
        """Describe a dataset of kind scores from its manifest."""
        manifest = dataset.manifest
        assert manifest.details.kind == "scores"
        statistics = manifest.statistics
        columns = [column for column in manifest.details.columns if f"{column}.p0" in statistics]
        return cls(
            path=dataset.path,
            digest=manifest.digest(),
            name=manifest.name,
            account=manifest.account,
            scorer=manifest.details.scorer,
            fingerprint=manifest.details.fingerprint,
            deciles={name: tuple(float(statistics[f"{name}.p{p}"]) for p in DECILES) for name in columns},
        )

    def table(self) -> str:
        """Return the report as text."""
        lines = [*self._header(), f"  scorer    {self.scorer} {self.fingerprint[:12]}", *self._account_lines()]
        if self.deciles:
            width = max(map(len, self.deciles))
            lines.append(f"  {'percentile':<{width}}" + "".join(f"{percent:>9}" for percent in DECILES))
            for column, values in self.deciles.items():
                lines.append(f"  {column:<{width}}" + "".join(f" {_short(value):>8}" for value in values))
        return "\n".join(lines)


class SelectReport(StageReport):
    """A subset of a pool."""

    rule: str = Field(description="how it was selected")
    conditions: tuple[tuple[str, int, int], ...] = Field(
        description="each condition of the rule, the samples in its scope that it holds for, and those without a value"
    )
    asked_pairs: int | None = Field(default=None, description="the budget in pairs; null: none")
    asked_tokens: float | None = Field(default=None, description="the budget in tokens; null: none")

    @classmethod
    def of(cls, dataset: Dataset) -> Self:
        """Describe a dataset of kind subset from its manifest."""
        manifest = dataset.manifest
        assert manifest.details.kind == "subset"
        found = manifest.statistics
        names = sorted(name for name in found if name.startswith("condition_") and f"{name}_true" in found)
        config = manifest.lineage.config.get("config", {})
        return cls(
            path=dataset.path,
            digest=manifest.digest(),
            name=manifest.name,
            account=manifest.account,
            rule=manifest.details.rule,
            conditions=tuple(
                (str(found[name]), int(found[f"{name}_true"]), int(found[f"{name}_null"])) for name in names
            ),
            asked_pairs=config.get("pairs"),
            asked_tokens=config.get("tokens"),
        )

    def table(self) -> str:
        """Return the report as text."""
        lines = [*self._header(), f"  rule      {self.rule}"]
        for text, num_true, num_null in self.conditions:
            without = f", no value for {num_null:,}" if num_null else ""
            lines.append(f"    {text}: {num_true:,} samples{without}")
        return "\n".join([*lines, *self._shortfall(), *self._account_lines()])

    def _shortfall(self) -> list[str]:
        """Return a line when less is kept than was asked for, or nothing at all."""
        num_kept, asked = self.account.num_kept, self.asked_pairs
        if asked is not None and num_kept < asked:
            return [f"  budget    asked for {asked:,} pairs, {num_kept:,} match"]
        if self.asked_tokens is not None and OVER_BUDGET not in self.account.rejected:
            return [f"  budget    asked for {self.asked_tokens:,.0f} tokens, all {num_kept:,} that match have no more"]
        return [] if num_kept else ["  empty     nothing is kept; reshard refuses such a subset"]


class PoolReport(StageReport):
    """Shards of image-text pairs."""

    num_shards: int
    num_bytes: int = Field(description="bytes of all shards")

    @classmethod
    def of(cls, dataset: Dataset) -> Self:
        """Describe a dataset of kind image_text from its manifest."""
        return cls(**cls._values(dataset))

    @classmethod
    def _values(cls, dataset: Dataset) -> dict[str, Any]:
        manifest = dataset.manifest
        return {
            "path": dataset.path,
            "digest": manifest.digest(),
            "name": manifest.name,
            "account": manifest.account,
            "num_shards": len(manifest.shards),
            "num_bytes": manifest.num_bytes,
        }

    def table(self) -> str:
        """Return the report as text."""
        return "\n".join([*self._header(), *self._shard_lines(), *self._account_lines()])

    def _shard_lines(self) -> list[str]:
        return [f"  shards    {self.num_shards:,}, {self.num_bytes:,} bytes"]


class ReshardReport(PoolReport):
    """New shards of the selected samples."""

    num_missing: int = Field(description="uids of the subset that are in none of the pools")

    @classmethod
    def of(cls, dataset: Dataset) -> Self:
        """Describe a resharded dataset from its manifest."""
        return cls(**cls._values(dataset), num_missing=int(dataset.manifest.statistics["missing_uids"]))

    def _shard_lines(self) -> list[str]:
        return [*super()._shard_lines(), f"  missing   {self.num_missing:,} uids of the subset are in no pool"]


class DedupReport(StageReport):
    """Duplicates among samples, or pictures of benchmarks among them."""

    method: str
    counts: dict[str, int] = Field(description="clusters and duplicates, or matches by benchmark")

    @classmethod
    def of(cls, dataset: Dataset) -> Self:
        """Describe what `dedup` has written from its manifest."""
        manifest = dataset.manifest
        assert manifest.details.kind == "scores"
        return cls(
            path=dataset.path,
            digest=manifest.digest(),
            name=manifest.name,
            account=manifest.account,
            method=str(manifest.lineage.config["config"]["method"]),
            counts={name: int(count) for name, count in manifest.statistics.items()},
        )

    def table(self) -> str:
        """Return the report as text."""
        counts = [f"  {name:<24}  {count:>12,}" for name, count in self.counts.items()]
        return "\n".join([*self._header(), f"  method    {self.method}", *counts, *self._account_lines()])


class CheckReport(Frozen):
    """A dataset that was checked and is good."""

    path: Path = Field(description="the dataset's directory")
    name: str = Field(description="name of the dataset")
    kind: str = Field(description="what it holds")
    num_files: int
    num_samples: int

    def table(self) -> str:
        """Return the report as text."""
        counts = f"{self.num_files:,} files, {self.num_samples:,} samples"
        return f"{self.name} ({self.path}), {self.kind}: {counts}: good"


class DfnReport(StageReport):
    """A data filtering network."""

    held_out_auc: float | None = Field(
        description="probability that a true pair scores above a false one, on held-out pairs; null: not measured"
    )
    num_held_out: int = Field(description="held-out pairs; they are part of the final fit")

    @classmethod
    def of(cls, dataset: Dataset) -> Self:
        """Describe a network from its manifest."""
        manifest = dataset.manifest
        auc = manifest.statistics.get("held_out_auc")
        return cls(
            path=dataset.path,
            digest=manifest.digest(),
            name=manifest.name,
            account=manifest.account,
            held_out_auc=None if auc is None else float(auc),
            num_held_out=int(manifest.statistics["num_held_out"]),
        )

    def table(self) -> str:
        """Return the report as text."""
        measured = "not measured" if self.held_out_auc is None else f"{self.held_out_auc:.3f} AUC"
        model = f"  model     local-dir:{self.path}"
        return "\n".join(
            [*self._header(), model, f"  held out  {measured}, {self.num_held_out:,} pairs", *self._account_lines()]
        )


class PageReport(Frozen):
    """A page to look at."""

    path: Path = Field(description="the HTML file")
    num_bytes: int = Field(description="its size")
    num_samples: int = Field(description="samples it speaks of")
    num_selected: int | None = Field(description="what the subset keeps of them; null without a subset")

    def table(self) -> str:
        """Return the report as text."""
        selected = "" if self.num_selected is None else f", {self.num_selected:,} selected"
        return f"{self.path} ({self.num_bytes:,} bytes)\n  samples   {self.num_samples:,}{selected}"


class PromptsReport(Frozen):
    """A prompt set that was read from an MLM-Filter checkout."""

    path: Path = Field(description="the prompt set")
    name: str = Field(description="its name")
    prompts: dict[str, str] = Field(description="by metric: the prompt")

    def table(self) -> str:
        """Return the report as text."""
        lines = [f"  {metric:<6}    {len(prompt):,} characters" for metric, prompt in self.prompts.items()]
        return "\n".join([f"{self.name} ({self.path})", *lines])


class EstimateReport(Frozen):
    """What scoring a whole pool will take; low and high are the ends of 95% intervals."""

    scorer: str = Field(description="name of the scorer")
    num_samples: int = Field(description="samples of the pool")
    num_measured: int = Field(description="samples that were scored")
    num_rejected: int = Field(description="those of them that have no score")
    start_seconds: float = Field(description="until the first score: loading the model")
    samples_per_second: float = Field(description="pace of one worker after that")
    hours: tuple[float, float, float] = Field(description="for the pool: expected, low, high")
    cost: tuple[float, float, float] = Field(description="for the pool: expected, low, high")
    num_bytes: int = Field(description="size of the score files")

    def table(self) -> str:
        """Return the report as text."""
        hours, low, high = (_hours(value) for value in self.hours)
        lines = [
            f"{self.scorer}: {self.num_measured:,} of {self.num_samples:,} samples scored, "
            f"{self.num_rejected:,} of them rejected",
            f"  start     {self.start_seconds:.1f} s",
            f"  pace      {self.samples_per_second:,.1f} samples/s a worker",
            f"  time      {hours} ({low} to {high})",
            f"  disk      {self.num_bytes:,} bytes",
        ]
        if self.cost[0]:
            lines.append("  cost      {:,.2f} ({:,.2f} to {:,.2f})".format(*self.cost))
        return "\n".join(lines)


class ThresholdRow(Frozen):
    """What keeping the samples from a threshold up does; shares are (value, low, high), null: nothing was judged."""

    threshold: float
    kept: float = Field(description="share of the scored samples that is kept")
    precision: tuple[float, float, float] | None = Field(description="share of the kept samples that is good")
    recall: tuple[float, float, float] | None = Field(description="share of the good samples that is kept")


class CalibrateReport(Frozen):
    """A sample to judge, or what judgements say about thresholds."""

    path: Path = Field(description="directory of the sample")
    num_drawn: int = Field(description="samples to judge; 0 when labels were given")
    num_judged: int = Field(description="labels that were given")
    thresholds: tuple[ThresholdRow, ...] = Field(description="by ascending threshold")

    def table(self) -> str:
        """Return the report as text."""
        if not self.thresholds:
            return f"{self.num_drawn:,} samples to judge: look at {self.path}/page.html, fill in {self.path}/labels.csv"
        lines = [f"{self.num_judged:,} judged samples; intervals of 95%"]
        lines.append(f"  {'threshold':>10} {'keeps':>7}  {'precision':<22} recall")
        lines += [
            f"  {row.threshold:>10.4g} {100 * row.kept:6.1f}%  {_interval(row.precision):<22} {_interval(row.recall)}"
            for row in self.thresholds
        ]
        return "\n".join(lines)


def _interval(share: tuple[float, float, float] | None) -> str:
    return "not judged" if share is None else "{:.3f} ({:.3f} to {:.3f})".format(*share)


def _hours(hours: float) -> str:
    return f"{hours:.1f} h" if hours >= 1 else f"{hours * 60:.1f} min" if hours >= 1 / 60 else f"{hours * 3600:.1f} s"


def _short(value: float) -> str:
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.3g}"


Report = ScoreReport | SelectReport | DedupReport | PoolReport | ReshardReport | DfnReport
