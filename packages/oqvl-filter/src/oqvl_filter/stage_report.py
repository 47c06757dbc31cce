"""What every report says about the dataset that a command wrote: its name, its digest, its account."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from pydantic import Field

from oqvl_shards.config import Frozen
from oqvl_shards.dataset import Dataset
from oqvl_shards.manifest import Account


class StageReport(Frozen):
    """The base of reports about a dataset; subclasses add figures of their own."""

    path: Path = Field(description="the dataset's directory")
    digest: str = Field(description="sha256 of its manifest, which identifies the dataset")
    name: str = Field(description="name of the dataset")
    account: Account

    @classmethod
    def of(cls, dataset: Dataset) -> Self:
        """Describe a dataset from its manifest alone."""
        manifest = dataset.manifest
        return cls(
            path=dataset.path,
            digest=manifest.digest(),
            name=manifest.name,
            account=manifest.account,
            **cls._figures(dataset),
        )

    def table(self) -> str:
        """Return the report as text."""
        return "\n".join([*self._header(), *self._lines(), *self._account_lines()])

    @classmethod
    def _figures(cls, dataset: Dataset) -> dict[str, Any]:
        """Return the values of the fields that a subclass adds."""
        return {}

    def _lines(self) -> list[str]:
        """Return the lines of the table that a subclass adds."""
        return []

    def _header(self) -> list[str]:
        return [f"{self.name} ({self.path})", f"  digest    {self.digest}"]

    def _account_lines(self) -> list[str]:
        rows = [("in", self.account.num_in), ("kept", self.account.num_kept)]
        rows += [(f"rejected: {reason}", count) for reason, count in self.account.rejected.items()]
        width = max(len(label) for label, _ in rows)
        percent = 100 / max(self.account.num_in, 1)
        return [f"  {label:<{width}}  {count:>12,}  {count * percent:5.1f}%" for label, count in rows]


class PoolReport(StageReport):
    """Shards of image-text pairs."""

    num_shards: int = Field(description="number of shards")
    num_bytes: int = Field(description="bytes of all shards")

    @classmethod
    def _figures(cls, dataset: Dataset) -> dict[str, Any]:
        return {"num_shards": len(dataset.manifest.shards), "num_bytes": dataset.manifest.num_bytes}

    def _lines(self) -> list[str]:
        return [f"  shards    {self.num_shards:,}, {self.num_bytes:,} bytes"]
