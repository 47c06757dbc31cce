"""The commands, each as a list of steps."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from oqvl_model.config import GenerateConfig, InitConfig, ShowConfig
from oqvl_model.report import GenerateReport, InitReport, PartReport, ShowReport
from oqvl_shards.claim import CLAIM_NAME
from oqvl_shards.dataset import UNFINISHED_NAME, describe_file
from oqvl_shards.errors import ConfigError
from oqvl_shards.image import decode_image
from oqvl_shards.manifest import Account, CheckpointDetails
from oqvl_shards.stage_output import StageOutput, stage_output
from oqvl_shards.tar.sample import ReadLimits, SampleError

if TYPE_CHECKING:
    from PIL import Image

    from oqvl_model.modeling_oqvl import OqvlForConditionalGeneration
    from oqvl_model.processing_oqvl import OqvlProcessor


def init(config: InitConfig) -> InitReport:
    """Build a model directory: configuration, weights, processor, manifest.

    1. Digest the input files. The lineage names them by their digests and not by their paths.
    2. Claim the output directory. If an earlier run has finished it, return its report.
    3. Build the model and the processor.
    4. Write them, and then the manifest over their files.

    Raises:
        ConfigError: If the parts do not fit together, an input is missing, another run is writing the output, or the
            output directory holds something else.
    """
    pinned = {"inputs": _digest_inputs(config)}
    with stage_output("oqvl-model init", config.output, _without_paths(config), pinned=pinned) as output:
        if output.dataset is None:
            from oqvl_model.initialization import build_model

            model, processor = build_model(config)
            _write(model, processor, config, output)
    manifest = output.finished().manifest
    return InitReport(
        output=config.output,
        digest=manifest.digest(),
        num_parameters=int(manifest.statistics["num_parameters"]),
        num_bytes=manifest.num_bytes,
    )


def show(config: ShowConfig) -> ShowReport:
    """Count a model's parameters and operations.

    Raises:
        ConfigError: If `config.checkpoint` is not a model directory.
    """
    import torch

    from oqvl_model.configuration_oqvl import OqvlConfig
    from oqvl_model.flops import training_flops, vision_flops
    from oqvl_model.modeling_oqvl import OqvlForConditionalGeneration

    if not (config.checkpoint / "config.json").is_file():
        raise ConfigError(f"{config.checkpoint} has no config.json", hint="make a model with oqvl-model init")
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
        parts=tuple(PartReport(name=name, num_parameters=count, share=count / total) for name, count in counts.items()),
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
    """Answer one prompt, with or without image files.

    Raises:
        ConfigError: If the checkpoint has no readable processor, or an image file is missing or damaged.
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


def _without_paths(config: InitConfig) -> InitConfig:
    """Return `config` without the paths of input files, which do not decide the model's bytes."""
    vision = config.vision.model_copy(update={"directory": None, "weights": None})
    text = config.text.model_copy(update={"directory": None})
    return config.model_copy(update={"tokenizer": Path("tokenizer.json"), "vision": vision, "text": text})


def _digest_inputs(config: InitConfig) -> dict[str, str]:
    """Return the sha256 of every input that `config` uses, by its configuration key."""
    paths = {
        "tokenizer": config.tokenizer,
        "vision.directory": config.vision.directory if config.vision.kind == "siglip" else None,
        "vision.weights": config.vision.weights if config.vision.kind == "timm" else None,
        "text.directory": config.text.directory,
    }
    return {key: _digest(key, path) for key, path in paths.items() if path is not None}


def _digest(key: str, path: Path) -> str:
    """Return the sha256 of a file, or of the configuration and weight files of a model directory."""
    if path.is_file():
        return describe_file(path, path.parent, 1).sha256
    if not path.is_dir():
        raise ConfigError(f"{key}: no file or directory at {path}", hint="check the path")
    files = sorted(file for file in path.iterdir() if file.suffix in (".json", ".safetensors"))
    digests = "".join(f"{file.name} {describe_file(file, path, 1).sha256}\n" for file in files)
    return hashlib.sha256(digests.encode()).hexdigest()


def _write(
    model: OqvlForConditionalGeneration, processor: OqvlProcessor, config: InitConfig, output: StageOutput
) -> None:
    """Write the model's files, then the manifest over them."""
    model.save_pretrained(config.output)
    processor.save_pretrained(config.output)
    paths = sorted(path for path in config.output.iterdir() if path.name not in (CLAIM_NAME, UNFINISHED_NAME))
    files = [describe_file(path, config.output, num_samples=1) for path in paths]
    output.finish(
        name=config.name,
        details=CheckpointDetails(
            architecture=type(model).__name__, stage="init", visual_tokens_per_image=config.visual_tokens_per_image
        ),
        shards=files,
        account=Account(num_in=len(files), num_kept=len(files)),
        statistics={"num_parameters": model.num_parameters()},
    )


def _open_image(path: Path) -> Image.Image:
    try:
        return decode_image(path.read_bytes(), ReadLimits())
    except (OSError, SampleError) as error:
        raise ConfigError(
            f"images: {path} cannot be read: {error}", hint="give whole jpg, png or webp files"
        ) from error
