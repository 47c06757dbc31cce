"""What the reader of a layout returns: a model in another layout, read as far as its headers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from oqvl_model.configuration_oqvl import OqvlConfig
from oqvl_model.conversion.key_map import Rule
from oqvl_model.conversion.tensor_files import StoredTensor
from oqvl_model.processing_oqvl import OqvlProcessor
from oqvl_shards.errors import ConfigError


@dataclass(frozen=True)
class SourceModel:
    """A model to convert.

    Args:
        layout: Name of its layout.
        tensors: Its tensors, by the keys that the report names.
        rules: What becomes of the keys.
        config: The configuration of the converted model.
        processor: Its processor.
        notes: Facts of the source that the user should know, one sentence each.
    """

    layout: str
    tensors: Mapping[str, StoredTensor]
    rules: Sequence[Rule]
    config: OqvlConfig
    processor: OqvlProcessor
    notes: tuple[str, ...] = field(default=())


def read_json(path: Path, key: str) -> dict[str, Any]:
    """Read a JSON file that must hold a table.

    Args:
        path: The file.
        key: The configuration key that names it or its directory, for messages.

    Raises:
        ConfigError: If it is missing or malformed.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{key}: {path} cannot be read: {error}", hint="give a local directory with this file"
        ) from error
    if not isinstance(values, dict):
        raise ConfigError(f"{key}: {path} holds a {type(values).__name__}, expected a table")
    return values


def refuse(what: str, found: object, supported: str, needed: str) -> ConfigError:
    """Return the error for a source that the model cannot represent.

    Args:
        what: The field of the source.
        found: Its value.
        supported: What can be converted.
        needed: What the model would need for this value.
    """
    return ConfigError(f"{what} is {found!r}; only {supported} can be converted", hint=f"it would need {needed}")
