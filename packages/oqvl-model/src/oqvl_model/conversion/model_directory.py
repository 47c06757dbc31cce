"""Write a source as a model directory: configuration, weights, processor, and the report on every key."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import GenerationConfig

from oqvl_model.conversion.key_map import KeyMap, map_keys
from oqvl_model.conversion.source_model import SourceModel
from oqvl_model.conversion.tensor_stream import write_tensors
from oqvl_model.modeling_oqvl import OqvlForConditionalGeneration
from oqvl_model.report import ConvertReport
from oqvl_shards.atomic import atomic_write

WEIGHTS_FILE = "model.safetensors"
REPORT_FILE = "conversion.json"


def expected_shapes(source: SourceModel) -> dict[str, tuple[int, ...]]:
    """Return the shape of every weight that the converted model saves, by name. Nothing is allocated."""
    with torch.device("meta"):
        model = OqvlForConditionalGeneration(source.config)
    tied = {"text.lm_head.weight"} if source.config.text_config.tie_word_embeddings else set()
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items() if name not in tied}


def write_model(source: SourceModel, directory: Path, dtype: torch.dtype) -> ConvertReport:
    """Write the model directory. One tensor at a time is in memory.

    Args:
        source: The opened source.
        directory: Where the files go.
        dtype: Dtype of the weights; float32 or bfloat16.

    Raises:
        DataError: If a key of the source is unknown or does not fit, or a weight has no key.
    """
    shapes = expected_shapes(source)
    keys = map_keys(source.tensors, source.rules, shapes, source.layout)
    write_tensors(directory / WEIGHTS_FILE, shapes, dtype, lambda name: keys.weights[name].read())
    source.config.architectures = [OqvlForConditionalGeneration.__name__]
    for part in (source.config, source.config.vision_config, source.config.text_config):
        part.dtype = dtype
    source.config.save_pretrained(directory)
    processor = source.processor
    GenerationConfig(
        bos_token_id=processor.bos_token_id, eos_token_id=processor.end_token_id, pad_token_id=processor.pad_token_id
    ).save_pretrained(directory)
    processor.save_pretrained(directory)
    report = _report(source, keys)
    atomic_write(directory / REPORT_FILE, (report.model_dump_json(indent=2) + "\n").encode())
    return report


def _report(source: SourceModel, keys: KeyMap) -> ConvertReport:
    with torch.device("meta"):
        model = OqvlForConditionalGeneration(source.config)
        model.tie_weights()
    return ConvertReport(
        layout=source.layout,
        architecture=type(model).__name__,
        num_parameters=model.num_parameters(),
        mapped=dict(keys.mapped),
        unused=dict(keys.unused),
        notes=source.notes,
    )
