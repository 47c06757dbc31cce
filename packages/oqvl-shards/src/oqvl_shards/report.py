"""Describe a dataset: as a table for people, or as JSON for programs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import Field

from oqvl_shards.config import Frozen
from oqvl_shards.dataset import Dataset
from oqvl_shards.manifest import Account, Ancestor, FieldSpec, Kind, Lineage, Manifest

_DIGEST_LENGTH = 12
"""Number of hex digits that a tree shows of a digest. They are enough to find it."""


class DatasetReport(Frozen):
    """A dataset at a glance: every import returns this, and `oqvl-shards show` prints it."""

    path: Path = Field(description="the dataset's directory")
    digest: str = Field(description="sha256 of the manifest, which names the dataset")
    name: str
    kind: Kind
    num_shards: int
    num_samples: int
    num_bytes: int = Field(description="bytes of all shards")
    details: dict[str, Any] = Field(description="what is specific to this kind of dataset")
    fields: tuple[FieldSpec, ...]
    account: Account
    statistics: dict[str, int | float | str]
    made_by: str = Field(description="tool and version that wrote it")

    @classmethod
    def of(cls, dataset: Dataset) -> Self:
        """Describe `dataset` from its manifest. No shard is opened."""
        manifest = dataset.manifest
        return cls(
            path=dataset.path,
            digest=manifest.digest(),
            name=manifest.name,
            kind=manifest.kind,
            num_shards=len(manifest.shards),
            num_samples=manifest.num_samples,
            num_bytes=manifest.num_bytes,
            details=manifest.details.model_dump(mode="json", exclude={"kind"}),
            fields=manifest.fields,
            account=manifest.account,
            statistics=dict(sorted(manifest.statistics.items())),
            made_by=f"{manifest.lineage.tool} {manifest.lineage.version}",
        )

    def table(self) -> str:
        """Return the report as text: lines of `label  value`, in groups."""
        account = self.account
        groups = {
            "": {
                "dataset": f"{self.name} ({self.path})",
                "kind": self.kind.value,
                "digest": self.digest,
                "made by": self.made_by,
                "shards": self.num_shards,
                "samples": self.num_samples,
                "bytes": f"{self.num_bytes:,} ({readable_bytes(self.num_bytes)})",
            },
            "details": {name: value for name, value in self.details.items() if name != "sources"},
            "sources": dict(_source_line(source) for source in self.details.get("sources", ())),
            "fields": {field.name: f"{field.dtype}: {field.description}" for field in self.fields},
            "account": {"in": account.num_in, "kept": account.num_kept}
            | {f"rejected {reason}": count for reason, count in account.rejected.items()},
            "statistics": self.statistics,
        }
        width = max(len(label) for group in groups.values() for label in group) + 2
        lines = []
        for title, group in groups.items():
            if group and title:
                lines.append(title)
            lines += [f"  {label:<{width}}{_readable(value)}" for label, value in group.items()]
        return "\n".join(lines)


def lineage_tree(manifest: Manifest) -> str:
    """Draw the history of a dataset as a tree: the dataset at the top, then what it was made from, down to the sources.

    A stage that several paths lead to is drawn in full once. After that, it is only marked as `drawn above`.
    """
    lineage = manifest.lineage
    ancestors = {ancestor.digest: ancestor for ancestor in lineage.ancestors}
    drawn: set[str] = set()
    lines = [_stage_line(manifest.name, manifest.kind, lineage, manifest.digest())]

    def draw(parents: tuple[str, ...], indent: str) -> None:
        for number, digest in enumerate(parents, 1):
            branch, below = ("└── ", "    ") if number == len(parents) else ("├── ", "│   ")
            ancestor = ancestors.get(digest)
            if ancestor is None:
                lines.append(f"{indent}{branch}{digest[:_DIGEST_LENGTH]}  (not in the lineage)")
                continue
            is_repeated = digest in drawn and bool(ancestor.parents)
            stage = _stage_line(ancestor.name, ancestor.kind, ancestor, digest)
            lines.append(f"{indent}{branch}{stage}{'  (drawn above)' if is_repeated else ''}")
            if not is_repeated:
                drawn.add(digest)
                draw(ancestor.parents, indent + below)

    draw(lineage.parents, "")
    return "\n".join(lines)


def _stage_line(name: str, kind: Kind, made_by: Lineage | Ancestor, digest: str) -> str:
    return f"{name}  {kind.value}  {made_by.tool} {made_by.version}  {digest[:_DIGEST_LENGTH]}"


def _source_line(source: Mapping[str, Any]) -> tuple[str, str]:
    """Return the label and the text of the line about one source of a packed dataset."""
    account, place = source["account"], f", at {source['path']}" if source["path"] else ""
    used = f"{account['num_kept']:,} of {account['num_in']:,} samples, {source['num_tokens']:,} tokens"
    return source["name"], f"{used}{place}"


def readable_bytes(count: int) -> str:
    """Return `count` bytes with a binary unit: `3.2 MiB`."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.1f} {unit}" if unit != "B" else f"{count} B"
        value /= 1024
    return f"{value:.1f} TiB"


def _readable(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
