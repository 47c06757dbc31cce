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
"""The template that turns samples of each kind into tokens."""


class SourceShard(NamedTuple):
    """One shard of one source.

    Args:
        source: Index of the source.
        path: The file.
        dataset: Name of the source.
        relative_path: The file's path below the source's directory.
        name: The prefix of its document keys: `relative_path`, preceded in a mixture by the source's name.
        template: How its samples become tokens.
        num_samples: Number of its samples in the manifest, with or without those that the reader rejects.
    """

    source: int
    path: Path
    dataset: str
    relative_path: str
    name: str
    template: Template
    num_samples: int


def open_sources(config: PackConfig) -> tuple[Dataset, ...]:
    """Open the datasets that `config` names, in order.

    Raises:
        ConfigError: If the template does not pack a dataset's kind, two sources of a mixture have the same name, or a
            source has fewer samples than the mixture asks for.
        ManifestError: If a dataset has no manifest.
    """
    sources = tuple(open_dataset(part.source) for part in config.mixture_parts)
    for part, source in zip(config.mixture_parts, sources, strict=True):
        _check_kind(source, config.template)
        if part.num_samples is not None and part.num_samples > source.manifest.num_samples:
            raise ConfigError(
                f"mixture: num_samples is {part.num_samples:,}, but {source.path} has {source.manifest.num_samples:,}",
                hint="ask for fewer, or leave out num_samples to take all; no document is used twice",
            )
    names = [source.manifest.name for source in sources]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ConfigError(
            f"two sources of the mixture are named {repeated[0]!r}",
            hint="their documents could not be told apart; import one of them again under another name",
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
            name=_key_prefix(source, shard, len(sources)),
            template=TEMPLATE_OF_KIND[source.manifest.kind],
            num_samples=shard.num_samples,
        )
        for index, source in enumerate(sources)
        for shard in source.manifest.shards
    )


def relative_directory(source: Dataset, output: Path) -> str:
    """Return the path from `output` to `source`, with forward slashes."""
    return Path(os.path.relpath(source.path.resolve(), output.resolve())).as_posix()


def _key_prefix(source: Dataset, shard: Shard, num_sources: int) -> str:
    return shard.path if num_sources == 1 else f"{source.manifest.name}/{shard.path}"


def _check_kind(source: Dataset, template: str) -> None:
    kind = source.manifest.kind
    expected = [fitting.value for fitting, name in TEMPLATE_OF_KIND.items() if template in ("auto", name)]
    if kind.value not in expected:
        raise ConfigError(
            f"{source.path} is of kind {kind.value}, expected {' or '.join(expected)} for template {template!r}",
            hint="leave out template to use the kind's own; reshard scores and subsets before packing them",
        )
