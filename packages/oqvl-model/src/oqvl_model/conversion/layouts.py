"""Find the layout of a source, and open it."""

from __future__ import annotations

from collections.abc import Callable

from oqvl_model.config import ConvertConfig
from oqvl_model.conversion.llava import open_llava, open_llava_qwen
from oqvl_model.conversion.open_qwen2vl import open_open_qwen2vl
from oqvl_model.conversion.source_model import SourceModel, read_json
from oqvl_model.conversion.trainer import METADATA_NAME, open_trainer
from oqvl_shards.errors import ConfigError

_READERS: dict[str, Callable[[ConvertConfig], SourceModel]] = {
    "open-qwen2vl": open_open_qwen2vl,
    "llava": open_llava,
    "llava-qwen": open_llava_qwen,
    "trainer": open_trainer,
}

_MODEL_TYPES = {"llava": "llava", "llava_qwen": "llava-qwen"}
"""Layout of each `model_type` of a `config.json`."""


def open_source(config: ConvertConfig) -> SourceModel:
    """Open the model that `config` names.

    Raises:
        ConfigError: If the layout is unknown, files are missing, or the model cannot be converted.
    """
    layout = _find_layout(config) if config.layout == "auto" else config.layout
    return _READERS[layout](config)


def _find_layout(config: ConvertConfig) -> str:
    if (config.source / METADATA_NAME).is_file():
        return "trainer"
    values = read_json(config.source / "config.json", "source")
    if "arch_specifier" in (values["model"] if isinstance(values.get("model"), dict) else {}):
        return "open-qwen2vl"
    model_type = values.get("model_type")
    if model_type not in _MODEL_TYPES:
        raise ConfigError(
            f"{config.source}/config.json has model_type {model_type!r}; expected a table 'model' with arch_specifier, "
            f"or model_type {' or '.join(_MODEL_TYPES)}",
            hint=f"set layout to one of {', '.join(_READERS)} if you know it",
        )
    return _MODEL_TYPES[model_type]
