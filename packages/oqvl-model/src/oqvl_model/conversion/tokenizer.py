"""The processor of a converted model: its tokenizer with the special tokens, and its pixel normalisation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import SiglipVisionConfig

from oqvl_model.config import TemplateName
from oqvl_model.configuration_oqvl import pixel_statistics
from oqvl_model.processing_oqvl import TOKENIZER_FILE, OqvlProcessor, ProcessorConfig
from oqvl_model.special_tokens import add_special_tokens
from oqvl_shards.errors import ConfigError

AddTokens = Callable[[bytes, list[str]], bytes]
"""Returns a `tokenizer.json` with the given special tokens."""


def make_processor(
    directory: Path,
    key: str,
    *,
    image_size: int,
    visual_tokens_per_image: int,
    num_rows: int,
    chat_template: TemplateName,
    add_tokens: AddTokens = add_special_tokens,
    **tokens: Any,
) -> OqvlProcessor:
    """Make the processor of a model with a SigLIP tower.

    Args:
        directory: Directory of `tokenizer.json`.
        key: The configuration key that names it, for messages.
        image_size: Side of the square input image in pixels.
        visual_tokens_per_image: Visual tokens per image.
        num_rows: Rows of the decoder's embedding; every id of the tokenizer needs one.
        chat_template: Template of chat prompts.
        add_tokens: Adds the special tokens that are missing.
        **tokens: Fields of `ProcessorConfig` that name special tokens or the system prompt.

    Raises:
        ConfigError: If the tokenizer is missing or malformed, or has ids without a row.
    """
    path = directory / TOKENIZER_FILE
    try:
        tokenizer_json = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{key}: {path} cannot be read: {error}", hint="give a directory with this file") from error
    mean, std = pixel_statistics(SiglipVisionConfig())
    config = ProcessorConfig(
        image_size=image_size,
        image_mean=mean,
        image_std=std,
        visual_tokens_per_image=visual_tokens_per_image,
        chat_template=chat_template,
        **tokens,
    )
    needed = [config.bos_token, config.pad_token, config.image_token, config.end_token, config.start_token]
    processor = OqvlProcessor(config, add_tokens(tokenizer_json, needed))
    if processor.vocab_size > num_rows:
        raise ConfigError(
            f"{path} has ids up to {processor.vocab_size - 1:,} with its special tokens, but the decoder's embedding "
            f"has {num_rows:,} rows",
            hint="give the tokenizer of this decoder",
        )
    return processor
