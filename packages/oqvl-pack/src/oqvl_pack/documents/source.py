"""The datasets that are packed together, and their shards as one list."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from oqvl_pack.config import PackConfig
from oqvl_shards.dataset import Dataset, open_dataset
from oqvl_shards.errors import ConfigError
from oqvl_shards.manifest import Kind, Shard

Template = Literal["caption", "conversation", "interleaved"]

TEMPLATE_OF_KIND: dict[Kind, Template] = {
    Kind.IMAGE_TEXT: "caption",
    Kind.CONVERSATION: "conversation",
    Kind.INTERLEAVED: "interleaved",
}
"""How samples of a kind become tokens."""


class SourceShard(NamedTuple):
    """One shard of one source.

    Args:
        source: Index of the source.
        path: The file.
        dataset: Name of the source.
        relative_path: Where the file lies below the source's directory.
        name: What document keys begin with: `relative_path`, in a mixture after the source's name.
        template: How its samples become tokens.
    """

    source: int
    path: Path
    dataset: str
    relative_path: str
    name: str
    template: Template


def open_sources(config: PackConfig) -> tuple[Dataset, ...]:
    """Open the datasets that `config` names, in order.

    Raises:
        ConfigError: When one is of a kind that the template does not pack, two of a mixture have the same name, or one
            has fewer samples than are asked of it.
        ManifestError: When one has no manifest.
    """
    sources = tuple(open_dataset(part.source) for part in config.parts)
    for part, source in zip(config.parts, sources, strict=True):
        _check_kind(source, config.template)
        if part.num_samples is not None and part.num_samples > source.manifest.num_samples:
            raise ConfigError(
                f"mixture: num_samples is {part.num_samples:,}, but {source.path} has {source.manifest.num_samples:,}",
                hint="ask for less, or leave it out to take all; a document is never used twice",
            )
    names = [source.manifest.name for source in sources]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(
            f"two sources of the mixture have the name {twice[0]!r}",
            hint="their documents could not be told apart: import one of them again under another name",
        )
    return sources


def list_shards(sources: Sequence[Dataset]) -> tuple[SourceShard, ...]:
    """List the shards of all sources, one source after another."""
    return tuple(
        SourceShard(
            source=index,
            path=source.whole_shard_path(shard),
            dataset=source.manifest.name,
            relative_path=shard.path,
            name=_document_prefix(source, shard, len(sources)),
            template=TEMPLATE_OF_KIND[source.manifest.kind],
        )
        for index, source in enumerate(sources)
        for shard in source.manifest.shards
    )


def relative_directory(source: Dataset, output: Path) -> str:
    """Return where `source` lies seen from `output`, with forward slashes."""
    return Path(os.path.relpath(source.path.resolve(), output.resolve())).as_posix()


def _document_prefix(source: Dataset, shard: Shard, num_sources: int) -> str:
    return shard.path if num_sources == 1 else f"{source.manifest.name}/{shard.path}"


def _check_kind(source: Dataset, template: str) -> None:
    kind = source.manifest.kind
    expected = [one.value for one, fitting in TEMPLATE_OF_KIND.items() if template in ("auto", fitting)]
    if kind.value not in expected:
        raise ConfigError(
            f"{source.path} is of kind {kind.value}, expected {' or '.join(expected)} for template {template!r}",
            hint="leave template out, and it follows the kind; scores and subsets are packed after resharding",
        )
