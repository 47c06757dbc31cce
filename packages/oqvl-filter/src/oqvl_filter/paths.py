"""Paths in configurations: datasets under labels of the user's choice, and files that are written over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, ValidationInfo

from oqvl_shards.config import Paths
from oqvl_shards.dataset import Dataset, open_dataset
from oqvl_shards.manifest import Kind


def _as_labelled(value: object, info: ValidationInfo) -> object:
    if isinstance(value, str | Path | list | tuple):
        raise ValueError(f"expected a label of your choice for every path: {info.field_name}.LABEL=PATH")
    return value


LabelledPath = Annotated[dict[str, Path], BeforeValidator(_as_labelled)]
"""One path per label."""

LabelledPaths = Annotated[dict[str, Paths], BeforeValidator(_as_labelled)]
"""One or more paths per label."""


def ending_in(suffix: str) -> AfterValidator:
    """Return a check that a path ends in `suffix`, for files that are written over.

    It protects shards and manifests from a slip on the command line.
    """

    def check(path: Path) -> Path:
        if path.suffix != suffix:
            raise ValueError(f"expected a file that ends in {suffix}")
        return path

    return AfterValidator(check)


def open_scores(scores: Mapping[str, Sequence[Path]]) -> dict[str, list[Dataset]]:
    """Open the score datasets of every label, in the order of the labels' names.

    Raises:
        ManifestError: If a path holds no dataset of kind scores.
    """
    return {label: [open_dataset(path, Kind.SCORES) for path in paths] for label, paths in sorted(scores.items())}
