from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny_parts import DECODERS, WINDOW, WINDOWED
from transformers import AutoConfig, GraniteConfig, MambaConfig

from oqvl_model import decoder
from oqvl_model.configuration_oqvl import OqvlConfig
from oqvl_model.decoder import build_decoder, decoder_config, layer_windows, load_decoder, read_decoder_config
from oqvl_model.modeling_oqvl import OqvlForConditionalGeneration
from oqvl_shards.errors import ConfigError

IDS = torch.tensor([[5, 9, 40, 41, 300, 7, 8, 6, 50], [1, 2, 3, 4, 5, 6, 7, 8, 9]])


@pytest.fixture(params=DECODERS)
def name(request):
    return request.param


@pytest.fixture
def model(name, make_config, enliven):
    return enliven(OqvlForConditionalGeneration(make_config(text_config=dict(DECODERS[name]))))


@torch.no_grad()
def test_logits_of_text_are_those_of_the_stock_decoder(name, model):
    config = AutoConfig.for_model(**DECODERS[name])
    config._attn_implementation = "eager" if name == "gemma2" else "sdpa"
    stock: Any = build_decoder(config).eval()
    stock.load_state_dict(model.text.state_dict())
    found, expected = model(input_ids=IDS).logits, stock(input_ids=IDS).logits
    assert expected.std() > 0.1
    if name == "gemma2":  # transformers runs it without sdpa, so it rounds differently
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    else:
        assert torch.equal(found, expected)


@torch.no_grad()
def test_generation_with_a_cache_equals_generation_without(model, processor, picture):
    prompts = [[picture(0), "\na red apple on a table"], ["a blue car, a green tree"]]
    inputs = processor.batch(prompts, chat=False)
    options = {"do_sample": False, "max_new_tokens": 8, "min_new_tokens": 8, "pad_token_id": 0}
    with_cache, without = (model.generate(**inputs, **options, use_cache=use_cache) for use_cache in (True, False))
    assert torch.equal(with_cache, without)
    assert with_cache.shape[1] == inputs["input_ids"].shape[1] + 8


@torch.no_grad()
def test_text_is_scaled_as_the_decoder_does_it_and_visual_tokens_are_not(name, model, processor, picture):
    inputs = processor.batch([[picture(0), "\na red apple"]], chat=False)
    is_image = inputs["input_ids"] == processor.image_token_id
    features = model.encode_images(inputs["pixel_values"])
    embedded = model._embed(inputs["input_ids"], features, None, is_checked=False)
    assert torch.equal(embedded[is_image], model.project(features)[0])
    scale = 32**0.5 if name.startswith("gemma") else 1
    table = model.get_input_embeddings().weight
    torch.testing.assert_close(embedded[~is_image], table[inputs["input_ids"][~is_image]] * scale)


def test_a_model_knows_what_is_tied_and_what_stays_together(name, model):
    is_tied = DECODERS[name]["tie_word_embeddings"]
    tied = {"text.lm_head.weight": "text.model.embed_tokens.weight"} if is_tied else {}
    assert model.all_tied_weights_keys == tied
    assert (model.get_output_embeddings().weight is model.get_input_embeddings().weight) == is_tied
    assert {"SiglipEncoderLayer", type(model.text.base_model.layers[0]).__name__} <= set(model._no_split_modules)
    assert model.text.config is model.config.text_config


def test_windows_are_those_of_the_layers(name, model):
    found = layer_windows(model.config.text_config)
    layers = model.text.base_model.layers
    has_window = name in WINDOWED
    if has_window and name != "mistral":
        assert found == tuple(layer.self_attn.sliding_window for layer in layers)
    assert set(found) == ({WINDOW} if name == "mistral" else {WINDOW, None} if has_window else {None})


def test_weights_come_from_a_model_directory(name, model, make_config, tmp_path):
    model.text.save_pretrained(tmp_path)
    config = read_decoder_config(tmp_path)
    assert config.model_type == DECODERS[name]["model_type"]
    config.vocab_size = 384
    target: Any = OqvlForConditionalGeneration(make_config(text_config=config)).text
    fresh = target.get_input_embeddings().weight.detach().clone()
    load_decoder(target, tmp_path)
    source = model.text.state_dict()
    for key, tensor in target.state_dict().items():
        assert torch.equal(tensor[: len(source[key])], source[key]), key
    assert torch.equal(target.get_input_embeddings().weight[320:], fresh[320:])


def test_a_directory_that_lacks_weights_is_refused(make_config, tmp_path):
    short = build_decoder(decoder_config(DECODERS["llama"] | {"num_hidden_layers": 1}))
    short.save_pretrained(tmp_path)
    whole = decoder_config(DECODERS["llama"])
    whole.save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match=r"lacks 9 weights, for example model\.layers\.1"):
        load_decoder(build_decoder(whole), tmp_path)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("gemma2", {"attn_logit_softcapping": 50.0}, "'gemma2' has attention soft-capping"),
        ("gemma3_text", {"use_bidirectional_attention": True}, "attention in both directions"),
        ("llama", {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}}, "longest document"),
        ("qwen2", {"layer_types": ["full_attention", "chunked_attention"]}, r"layers of type \['chunked_attention'\]"),
    ],
)
def test_what_packs_cannot_keep_apart_is_refused_by_name(make_config, name, change, message):
    with pytest.raises(ConfigError, match=message):
        make_config(text_config=DECODERS[name] | change)


@pytest.mark.parametrize(
    ("model_type", "message"),
    [
        ("gemma3", "a vision tower of its own"),
        ("granite", "multiplies its input embeddings"),
        ("qwen3_next", "carry state from one document"),
        ("phi3", "are not tested"),
        ("nothing", "are not tested"),
    ],
)
def test_other_decoders_are_refused_by_name(model_type, message):
    with pytest.raises(ConfigError, match=rf"model_type is '{model_type}'.*{message}"):
        decoder_config({"model_type": model_type})


@pytest.mark.parametrize("config", [GraniteConfig(), MambaConfig()], ids=["granite", "mamba"])
def test_configurations_of_other_decoders_are_refused(config, tmp_path):
    with pytest.raises(ConfigError, match="model_type"):
        OqvlConfig(text_config=config)
    config.save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="model_type"):
        read_decoder_config(tmp_path)


def test_every_listed_decoder_is_tested():
    assert {text["model_type"] for text in DECODERS.values()} == set(decoder.DECODERS)
