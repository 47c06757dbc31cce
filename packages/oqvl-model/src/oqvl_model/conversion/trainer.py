"""Checkpoints of oqvl-train (`checkpoints/step-...`), merged with the model that the run started from.

A checkpoint holds the trained parameters, the buffers and the optimizer's state; the frozen parts, the configuration
and the processor are those of the model at `base`. torch.distributed.checkpoint reads it, and its index is a pickle: so
convert only checkpoints of runs that you trust.
"""

from __future__ import annotations

import re
import warnings
from functools import partial
from pathlib import Path

import torch
import torch.distributed.checkpoint as dcp
from torch import Tensor
from torch.distributed.checkpoint.metadata import TensorProperties, TensorStorageMetadata

from oqvl_model.config import ConvertConfig
from oqvl_model.configuration_oqvl import OqvlConfig
from oqvl_model.conversion.key_map import Rule
from oqvl_model.conversion.source_model import SourceModel
from oqvl_model.conversion.tensor_files import StoredTensor, open_model_directory
from oqvl_model.processing_oqvl import OqvlProcessor
from oqvl_shards.errors import ConfigError

METADATA_NAME = ".metadata"
"""The index of a checkpoint."""

_TRAINED = re.compile(r"(?:parameters|buffers)\.(.+)")


def open_trainer(config: ConvertConfig) -> SourceModel:
    """Open a checkpoint of oqvl-train.

    Raises:
        ConfigError: If `base` is not given or has no model, or the checkpoint cannot be read.
    """
    if config.base is None or not (config.base / "config.json").is_file():
        raise ConfigError(
            "base must be the directory of a model for a checkpoint of oqvl-train, "
            + ("and is not given" if config.base is None else f"and {config.base} has no config.json"),
            hint="give the model directory that the run started from: `checkpoint` in its configuration",
        )
    trained = _open_checkpoint(config.source)
    frozen = open_model_directory(config.base, "base")
    replaced = {match[1] for key in trained if (match := _TRAINED.fullmatch(key))}
    tensors = trained | {f"base.{key}": tensor for key, tensor in frozen.items()}
    again = "|".join(re.escape(key) for key in sorted(replaced & frozen.keys()))
    model_config = OqvlConfig.from_pretrained(config.base)
    rules = [
        Rule(r"parameters\.(.+)", (r"\1",)),
        Rule(r"buffers\.(.+)", (r"\1",)),
        Rule(r"optimizer\..+", reason="state of the optimizer"),
        *([Rule(rf"base\.(?:{again})", reason="was trained; the checkpoint has its new values")] if again else []),
        Rule(r"base\.(.+)", (r"\1",)),
    ]
    if model_config.text_config.tie_word_embeddings:
        rules.insert(0, Rule(r"(?:parameters|base)\.text\.lm_head\.weight", reason="the head is tied to the embedding"))
    if config.visual_tokens_per_image:
        model_config.visual_tokens_per_image = config.visual_tokens_per_image
    processor = OqvlProcessor.from_pretrained(config.base)
    changes: dict[str, object] = {"visual_tokens_per_image": model_config.visual_tokens_per_image}
    if config.chat_template != "auto":
        changes["chat_template"] = config.chat_template
    processor = OqvlProcessor(processor.config.model_copy(update=changes), processor.tokenizer_json)
    return SourceModel("trainer", tensors, rules, model_config, processor)


def _open_checkpoint(directory: Path) -> dict[str, StoredTensor]:
    try:
        metadata = dcp.FileSystemReader(directory).read_metadata()
    except Exception as error:  # unpickling raises anything on a damaged index
        raise ConfigError(
            f"source: {directory} is not a checkpoint of oqvl-train: {error}",
            hint="give one of the directories checkpoints/step-... of a run",
        ) from error
    tensors = {}
    for key, entry in metadata.state_dict_metadata.items():
        if not isinstance(entry, TensorStorageMetadata):
            entry = TensorStorageMetadata(TensorProperties(torch.uint8), torch.Size(), [])  # a number or a text
        shape, dtype = tuple(entry.size), entry.properties.dtype
        tensors[key] = StoredTensor(shape, dtype, partial(_read, directory, key, entry))
    return tensors


def _read(directory: Path, key: str, entry: TensorStorageMetadata) -> Tensor:
    tensor = torch.empty(entry.size, dtype=entry.properties.dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns about running in one process, which is intended
        dcp.load({key: tensor}, storage_reader=dcp.FileSystemReader(directory), no_dist=True)
    return tensor
