from __future__ import annotations

import json

import pytest
import torch
from transformers import Qwen2Config

from oqvl_model.conversion.key_map import map_keys
from oqvl_model.conversion.qwen2 import decoder_rules, read_decoder_config, set_from_weights
from oqvl_model.conversion.tensor_files import StoredTensor
from oqvl_shards.errors import ConfigError


def stored(tensor):
    return StoredTensor(tuple(tensor.shape), tensor.dtype, lambda: tensor)


def test_the_configuration_must_be_of_a_qwen2(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "qwen2", "hidden_size": 64}))
    assert read_decoder_config(tmp_path, "text_directory").hidden_size == 64
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    with pytest.raises(ConfigError, match="text_directory: model_type is 'llama'"):
        read_decoder_config(tmp_path, "text_directory")


def test_the_tie_is_decided_by_comparing():
    embedding, other = torch.arange(12.0).reshape(6, 2), torch.zeros(6, 2)
    for head, is_tied in [(embedding.clone(), True), (other, False), (None, True)]:
        config = Qwen2Config(tie_word_embeddings=not is_tied)
        tensors = {"e": stored(embedding)} | ({} if head is None else {"h": stored(head)})
        set_from_weights(config, tensors, "e", "h")
        assert (config.vocab_size, config.tie_word_embeddings) == (6, is_tied)
    with pytest.raises(ConfigError, match="e is missing"):
        set_from_weights(Qwen2Config(), {}, "e", "h")


def test_frequencies_are_left_out():
    tensors = {key: stored(torch.ones(2)) for key in ("m.layers.0.self_attn.rotary_emb.inv_freq", "m.norm.weight", "h")}
    tied = map_keys(
        tensors,
        decoder_rules(r"m\.", "h", Qwen2Config(tie_word_embeddings=True)),
        {"text.model.norm.weight": (2,)},
        "x",
    )
    assert "configuration" in tied.unused["m.layers.0.self_attn.rotary_emb.inv_freq"]
    assert "tied" in tied.unused["h"]
    rules = decoder_rules(r"m\.", "h", Qwen2Config(tie_word_embeddings=False))
    free = map_keys(tensors, rules, {"text.model.norm.weight": (2,), "text.lm_head.weight": (2,)}, "x")
    assert free.mapped["h"] == ("text.lm_head.weight",)
