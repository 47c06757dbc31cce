"""The commands, each as a list of steps."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from oqvl_model.config import ConvertConfig, GenerateConfig, InitConfig, ShowConfig
from oqvl_model.report import ConvertReport, GenerateReport, InitReport, PartReport, ShowReport
from oqvl_shards.claim import CLAIM_NAME
from oqvl_shards.config import StageConfig
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

_CONVERT_INPUTS = ("text_directory", "vision_directory", "base")
"""Directories that a conversion may read beside its source."""

_TEXT_FILES = ("config.json", "tokenizer.json", "tokenizer_config.json")
_MODEL_FILES = ("*.json", "*.safetensors", "*.bin", "checkpoints/latest-checkpoint.pt", "*.distcp", ".metadata")
"""Patterns of the files of a model directory that decide what it is converted to."""


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
    pinned = {"inputs": _digest_inputs(config), **_pin_changed(config, "chat_template", "projector_init")}
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


def convert(config: ConvertConfig) -> ConvertReport:
    """Convert a model of another layout into a model directory.

    1. Digest the input files. The lineage names them by their digests and not by their paths.
    2. Claim the output directory. If an earlier run has finished it, return its report.
    3. Open the source, and map each of its keys to a weight, or leave it out for a stated reason.
    4. Write the weights one by one, then the other files, and then the manifest over all of them.

    Raises:
        ConfigError: If an input is missing, the source has parts that the model lacks, another run is writing the
            output, or the output directory holds something else.
        DataError: If a key of the source is unknown or does not fit, or a weight has no key.
    """
    from oqvl_model.conversion.model_directory import REPORT_FILE

    pinned = {"inputs": _digest_sources(config)}
    settings = config.model_copy(update=dict.fromkeys(_CONVERT_INPUTS) | {"source": Path("source")})
    with stage_output("oqvl-model convert", config.output, settings, pinned=pinned) as output:
        if output.dataset is None:
            import torch

            from oqvl_model.conversion.layouts import open_source
            from oqvl_model.conversion.model_directory import write_model

            source = open_source(config)
            written = write_model(source, config.output, getattr(torch, config.dtype))
            _finish(
                output,
                name=config.name,
                architecture=written.architecture,
                stage="convert",
                visual_tokens_per_image=source.config.visual_tokens_per_image,
                num_parameters=written.num_parameters,
            )
    manifest = output.finished().manifest
    kept = ConvertReport.model_validate_json((config.output / REPORT_FILE).read_bytes())
    return kept.model_copy(
        update={"output": config.output, "digest": manifest.digest(), "num_bytes": manifest.num_bytes}
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


def _pin_changed(config: StageConfig, *fields: str) -> dict[str, str]:
    """Return the values of `fields` that are not the defaults. With the defaults, the lineage does not name them."""
    defaults = type(config).model_fields
    return {field: getattr(config, field) for field in fields if getattr(config, field) != defaults[field].default}


def _digest_inputs(config: InitConfig) -> dict[str, str]:
    """Return the sha256 of every input that `config` uses, by its configuration key."""
    paths = {
        "tokenizer": config.tokenizer,
        "vision.directory": config.vision.directory if config.vision.kind == "siglip" else None,
        "vision.weights": config.vision.weights if config.vision.kind == "timm" else None,
        "text.directory": config.text.directory,
    }
    return {key: _digest(key, path) for key, path in paths.items() if path is not None}


def _digest_sources(config: ConvertConfig) -> dict[str, str]:
    """Return the sha256 of every file that a conversion may read, by configuration key and path below it."""
    directories = {"source": config.source} | {key: getattr(config, key) for key in _CONVERT_INPUTS}
    digests = {}
    for key, directory in directories.items():
        if directory is None:
            continue
        if not directory.is_dir():
            raise ConfigError(f"{key}: there is no directory at {directory}", hint="fetch the model first")
        patterns = _TEXT_FILES if key == "text_directory" else _MODEL_FILES
        paths = {path for pattern in patterns for path in directory.glob(pattern) if path.is_file()}
        for path in sorted(paths):
            digests[f"{key}/{path.relative_to(directory)}"] = describe_file(path, directory, num_samples=1).sha256
    return digests


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
    _finish(
        output,
        name=config.name,
        architecture=type(model).__name__,
        stage="init",
        visual_tokens_per_image=config.visual_tokens_per_image,
        num_parameters=model.num_parameters(),
    )


def _finish(
    output: StageOutput,
    *,
    name: str,
    architecture: str,
    stage: str,
    visual_tokens_per_image: int,
    num_parameters: int,
) -> None:
    """Write the manifest over all files of the model directory."""
    paths = sorted(path for path in output.directory.iterdir() if path.name not in (CLAIM_NAME, UNFINISHED_NAME))
    files = [describe_file(path, output.directory, num_samples=1) for path in paths]
    output.finish(
        name=name,
        details=CheckpointDetails(
            architecture=architecture, stage=stage, visual_tokens_per_image=visual_tokens_per_image
        ),
        shards=files,
        account=Account(num_in=len(files), num_kept=len(files)),
        statistics={"num_parameters": num_parameters},
    )


def _open_image(path: Path) -> Image.Image:
    try:
        return decode_image(path.read_bytes(), ReadLimits())
    except (OSError, SampleError) as error:
        raise ConfigError(
            f"images: {path} cannot be read: {error}", hint="give whole jpg, png or webp files"
        ) from error
