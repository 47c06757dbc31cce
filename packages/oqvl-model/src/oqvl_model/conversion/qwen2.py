"""The Qwen2 decoder of a source."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from transformers import Qwen2Config

from oqvl_model.conversion.key_map import Rule
from oqvl_model.conversion.source_model import read_json, refuse
from oqvl_model.conversion.tensor_files import StoredTensor, are_equal
from oqvl_shards.errors import ConfigError


def read_decoder_config(directory: Path, key: str) -> Qwen2Config:
    """Read the `config.json` of a Qwen2 directory.

    Raises:
        ConfigError: If it is missing, or of another architecture.
    """
    values = read_json(directory / "config.json", key)
    if values.get("model_type") != Qwen2Config.model_type:
        raise refuse(f"{key}: model_type", values.get("model_type"), "qwen2", "rules for the keys of that decoder")
    return Qwen2Config(**values)


def set_from_weights(config: Qwen2Config, tensors: Mapping[str, StoredTensor], embedding: str, head: str) -> None:
    """Take the rows of the embedding, and whether the head is tied to it, from the weights.

    Args:
        config: The decoder's configuration, changed in place.
        tensors: The tensors of the source.
        embedding: The key of the embedding.
        head: The key of the head, which may be missing if it is tied.

    Raises:
        ConfigError: If there is no embedding.
    """
    if embedding not in tensors:
        raise ConfigError(f"the source has no decoder: {embedding} is missing")
    config.vocab_size = tensors[embedding].shape[0]
    config.tie_word_embeddings = head not in tensors or are_equal(tensors[embedding], tensors[head])


def decoder_rules(body: str, head: str, config: Qwen2Config) -> list[Rule]:
    """Return the rules of a decoder.

    Args:
        body: Regular expression of what comes before `embed_tokens`, `layers` and `norm`.
        head: Regular expression of the head's key.
        config: Its configuration, with the tie decided by `set_from_weights`.
    """
    tied = Rule(head, reason="equals the embedding: the head is tied to it")
    return [
        tied if config.tie_word_embeddings else Rule(head, ("text.lm_head.weight",)),
        Rule(rf"{body}.*rotary_emb\.inv_freq", reason="frequencies, which follow from the configuration"),
        Rule(rf"{body}((?:embed_tokens|layers|norm)\..+)", (r"text.model.\1",)),
    ]
