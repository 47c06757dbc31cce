"""The commands as lists of steps."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from oqvl_model.config import GenerateConfig, InitConfig, ShowConfig
from oqvl_model.report import GenerateReport, InitReport, PartReport, ShowReport
from oqvl_model.version import VERSION
from oqvl_shards.config import StageConfig
from oqvl_shards.dataset import UNFINISHED_NAME, Dataset, describe_file, write_manifest
from oqvl_shards.errors import ConfigError
from oqvl_shards.image import decode_image
from oqvl_shards.manifest import Account, CheckpointDetails, Lineage, Manifest
from oqvl_shards.stage_output import finished_output
from oqvl_shards.tar.sample import ReadLimits, SampleError

if TYPE_CHECKING:
    from PIL import Image

    from oqvl_model.modeling_oqvl import OqvlForConditionalGeneration
    from oqvl_model.processing_oqvl import OqvlProcessor


class InitLineage(StageConfig):
    """What decides the bytes of a new model: its configuration, with the digests of files in place of their paths."""

    config: InitConfig = Field(description="the configuration without paths")
    inputs: dict[str, str] = Field(description="sha256 of the input files, by configuration key")


def init(config: InitConfig) -> InitReport:
    """Build a model directory: configuration, weights, processor, manifest.

    Raises:
        ConfigError: When parts do not fit together, an input is missing, or the output holds something else.
    """
    lineage = Lineage.derive("oqvl-model init", VERSION, _init_lineage(config))
    finished = finished_output(config.output, lineage)
    if finished is None:
        from oqvl_model.initialization import build_model

        model, processor = build_model(config)
        finished = _write(model, processor, config, lineage)
    manifest = finished.manifest
    return InitReport(
        output=config.output,
        digest=manifest.digest(),
        num_parameters=int(manifest.statistics["num_parameters"]),
        num_bytes=manifest.num_bytes,
    )


def show(config: ShowConfig) -> ShowReport:
    """Count a model's parameters and operations.

    Raises:
        ConfigError: When the directory holds no model.
    """
    import torch

    from oqvl_model.configuration_oqvl import OqvlConfig
    from oqvl_model.flops import training_flops, vision_flops
    from oqvl_model.modeling_oqvl import OqvlForConditionalGeneration

    if not (config.checkpoint / "config.json").is_file():
        raise ConfigError(f"{config.checkpoint} holds no config.json", hint="make a model with oqvl-model init")
    model_config = OqvlConfig.from_pretrained(config.checkpoint)
    with torch.device("meta"):
        model = OqvlForConditionalGeneration(model_config)
        model.tie_weights()
    counts = {
        name: sum(parameter.numel() for parameter in getattr(model, name).parameters())
        for name in ("vision", "projector", "text")
    }
    num_text_tokens = max(config.document_tokens - model_config.visual_tokens_per_image, 0)
    flops = training_flops(
        model_config,
        document_lengths=[config.document_tokens],
        num_images=1,
        num_logits=num_text_tokens,
        trainable=("projector", "text"),
    )
    total = sum(counts.values())
    return ShowReport(
        checkpoint=config.checkpoint,
        parts=tuple(PartReport(name=name, num_parameters=n, share=n / total) for name, n in counts.items()),
        num_parameters=total,
        image_size=model_config.vision_config.image_size,
        grid_size=model_config.grid_size,
        visual_tokens_per_image=model_config.visual_tokens_per_image,
        vocab_size=model_config.text_config.vocab_size,
        context_length=model_config.text_config.max_position_embeddings,
        vision_gflops_per_image=vision_flops(model_config) / 1e9,
        training_gflops_per_token=flops.total / config.document_tokens / 1e9,
        document_tokens=config.document_tokens,
    )


def generate(config: GenerateConfig) -> GenerateReport:
    """Answer one prompt about image files.

    Raises:
        ConfigError: When an image file is missing or broken.
    """
    from oqvl_model.answerer import VlmAnswerer

    images = [_open_image(path) for path in config.images]
    answerer = VlmAnswerer(
        config.checkpoint, batch_size=1, device=config.device, visual_tokens=config.visual_tokens_per_image
    )
    first, *others = config.prompt.split("<image>")
    prompt = [first]
    for image, text in zip(images, others, strict=True):
        prompt += [image, text]
    (answer,) = answerer.generate([prompt], chat=config.chat, max_new_tokens=config.max_new_tokens)
    return GenerateReport(answer=answer)


def _init_lineage(config: InitConfig) -> InitLineage:
    vision = config.vision.model_copy(update={"directory": None, "weights": None})
    text = config.text.model_copy(update={"directory": None})
    bare = config.model_copy(update={"tokenizer": Path("tokenizer.json"), "vision": vision, "text": text})
    paths = {
        "tokenizer": config.tokenizer,
        "vision.directory": config.vision.directory if config.vision.kind == "siglip" else None,
        "vision.weights": config.vision.weights if config.vision.kind == "timm" else None,
        "text.directory": config.text.directory,
    }
    return InitLineage(config=bare, inputs={key: _digest(key, path) for key, path in paths.items() if path is not None})


def _digest(key: str, path: Path) -> str:
    """Digest of a file, or of a model directory's files."""
    if path.is_file():
        return describe_file(path, path.parent, 1).sha256
    if not path.is_dir():
        raise ConfigError(f"{key}: nothing at {path}")
    files = sorted(file for file in path.iterdir() if file.suffix in (".json", ".safetensors"))
    digests = "".join(f"{file.name} {describe_file(file, path, 1).sha256}\n" for file in files)
    return hashlib.sha256(digests.encode()).hexdigest()


def _write(
    model: OqvlForConditionalGeneration, processor: OqvlProcessor, config: InitConfig, lineage: Lineage
) -> Dataset:
    """Write the model's files, then the manifest that makes a model of them."""
    model.save_pretrained(config.output)
    processor.save_pretrained(config.output)
    paths = sorted(path for path in config.output.iterdir() if path.name != UNFINISHED_NAME)
    files = tuple(describe_file(path, config.output, num_samples=1) for path in paths)
    details = CheckpointDetails(
        architecture=type(model).__name__, stage="init", visual_tokens_per_image=config.visual_tokens_per_image
    )
    manifest = Manifest(
        name=config.name,
        details=details,
        shards=files,
        account=Account(num_in=len(files), num_kept=len(files)),
        statistics={"num_parameters": model.num_parameters()},
        lineage=lineage,
    )
    return write_manifest(config.output, manifest)


def _open_image(path: Path) -> Image.Image:
    try:
        return decode_image(path.read_bytes(), ReadLimits())
    except (OSError, SampleError) as error:
        raise ConfigError(f"images: {path} cannot be read: {error}") from error
