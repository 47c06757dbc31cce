from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import DynamicCache, SiglipVisionModel
from transformers.models.llava import LlavaConfig, LlavaForConditionalGeneration

from oqvl_model.modeling_oqvl import OqvlForConditionalGeneration
from oqvl_model.processing_oqvl import OqvlProcessor
from oqvl_shards.errors import ConfigError, DataError, UsageError


@pytest.fixture
def inputs(processor, picture):
    prompts = [[picture(0), "\na red apple"], ["a blue car"], [picture(1), "\nwhat is this? a green", picture(2)]]
    return processor.batch(prompts, chat=False)


def packed_inputs(inputs) -> dict[str, Any]:
    """Join the rows of a padded batch into one pack."""
    rows = [ids[mask.bool()] for ids, mask in zip(inputs["input_ids"], inputs["attention_mask"], strict=True)]
    lengths = torch.tensor([len(row) for row in rows])
    return {
        "input_ids": torch.cat(rows)[None],
        "pixel_values": inputs["pixel_values"],
        "position_ids": torch.cat([torch.arange(len(row)) for row in rows])[None],
        "cu_seqlens": torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)]).int(),
        "max_seqlen": int(lengths.max()),
    }


@torch.no_grad()
def test_a_padded_batch_and_a_pack_have_the_same_logits(model, inputs):
    padded = model(**inputs).logits[inputs["attention_mask"].bool()]
    packed = model(**packed_inputs(inputs)).logits[0]
    torch.testing.assert_close(packed, padded, atol=1e-5, rtol=0)
    assert packed.std() > 0.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"attention_mask": torch.ones(1, 5)}, "attention_mask"),
        ({"past_key_values": DynamicCache()}, "past_key_values"),
        ({"use_cache": True}, "use_cache"),
        ({"position_ids": None}, "no position_ids"),
    ],
)
def test_what_would_leak_between_documents_is_refused(model, inputs, change, message):
    with pytest.raises(UsageError, match=message):
        model(**{**packed_inputs(inputs), **change})


def test_a_pack_of_several_rows_is_refused(model, inputs):
    packed = packed_inputs(inputs) | {"pixel_values": None}
    packed |= {name: packed[name].expand(2, -1) for name in ("input_ids", "position_ids")}
    with pytest.raises(UsageError, match="2 rows"):
        model(**packed)


def test_another_attention_implementation_is_refused_for_packs_only(model, inputs):
    with torch.no_grad():
        is_real = inputs["attention_mask"].bool()
        expected = model(**inputs).logits[is_real]
        model.text.set_attn_implementation("eager")
        torch.testing.assert_close(model(**inputs).logits[is_real], expected, atol=1e-5, rtol=1e-5)
    with pytest.raises(UsageError, match="eager"):
        model(**packed_inputs(inputs))


def test_images_and_placeholders_must_agree(model, inputs):
    with pytest.raises(DataError, match="12 image placeholders, expected 2 images x 4"):
        model(**{**inputs, "pixel_values": inputs["pixel_values"][:2]})


@torch.no_grad()
def test_a_batch_may_name_a_number_of_visual_tokens_for_each_image(model, inputs):
    expected = model(**inputs).logits
    torch.testing.assert_close(model(**inputs, image_tokens=[4, 4, 4]).logits, expected, atol=1e-5, rtol=1e-5)
    with pytest.raises(DataError, match=r"12 image placeholders, expected 3 images x \[4, 1, 4\]"):
        model(**inputs, image_tokens=[4, 1, 4])
    with pytest.raises(UsageError, match="image_tokens has 2 numbers, but there are 3 images"):
        model(**inputs, image_tokens=[4, 4])


@torch.no_grad()
def test_logits_are_computed_where_they_are_wanted(model, inputs):
    packed = packed_inputs(inputs)
    index = torch.tensor([3, 9, 1])
    whole = model(**packed).logits
    torch.testing.assert_close(model(**packed, logits_to_keep=index).logits, whole[:, index], atol=1e-6, rtol=0)


def test_a_model_comes_back_from_its_files(model, inputs, tmp_path):
    model.save_pretrained(tmp_path)
    loaded = OqvlForConditionalGeneration.from_pretrained(tmp_path)
    expected = model.state_dict()
    assert loaded.state_dict().keys() == expected.keys()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in loaded.state_dict().items())
    assert loaded.text.lm_head.weight is loaded.text.model.embed_tokens.weight
    with torch.no_grad():
        assert torch.equal(loaded(**inputs).logits, model(**inputs).logits)


def test_an_untied_head_comes_back_from_its_files(make_config, enliven, tmp_path):
    text = make_config().text_config.to_dict() | {"tie_word_embeddings": False}
    model = enliven(OqvlForConditionalGeneration(make_config(text_config=text)))
    model.save_pretrained(tmp_path)
    loaded = OqvlForConditionalGeneration.from_pretrained(tmp_path)
    assert not torch.equal(loaded.text.lm_head.weight, loaded.text.model.embed_tokens.weight)
    assert torch.equal(loaded.text.lm_head.weight, model.text.lm_head.weight)


@torch.no_grad()
def test_the_number_of_visual_tokens_changes_and_no_weight_does(model, processor, picture):
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    pixels = processor.pixels([picture(0)])
    few = model.get_image_features(pixels)
    model.set_visual_tokens(16)
    many = model.get_image_features(pixels)
    assert (few.shape[1], many.shape[1]) == (4, 16)
    assert model.projector.pool.matrix_VP is None
    assert model.state_dict().keys() == before.keys()
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    model.set_visual_tokens(4)
    assert torch.equal(model.get_image_features(pixels), few)
    with pytest.raises(ConfigError, match="square"):
        model.set_visual_tokens(15)


def test_switched_visual_tokens_are_saved_with_the_model(model, tmp_path):
    model.set_visual_tokens(16)
    model.save_pretrained(tmp_path)
    assert OqvlForConditionalGeneration.from_pretrained(tmp_path).projector.pool.num_tokens == 16


@torch.no_grad()
def test_the_model_of_all_tokens_is_the_same_function_as_llava(make_config, enliven, processor, picture):
    model = enliven(OqvlForConditionalGeneration(make_config(visual_tokens_per_image=16)))
    config = model.config
    llava: Any = LlavaForConditionalGeneration(
        LlavaConfig(
            vision_config=config.vision_config.to_dict(),
            text_config=config.text_config.to_dict(),
            image_token_index=config.image_token_id,
            image_seq_length=16,
            vision_feature_layer=-2,
            vision_feature_select_strategy="full",
        )
    ).eval()
    vision = llava.model.vision_tower
    vision.embeddings.load_state_dict(model.vision.embeddings.state_dict())
    for layer, source in zip(vision.encoder.layers, model.vision.layers, strict=False):
        layer.load_state_dict(source.state_dict())
    for name in ("linear_1", "linear_2"):
        getattr(llava.model.multi_modal_projector, name).load_state_dict(getattr(model.projector, name).state_dict())
    llava.model.language_model.load_state_dict(model.text.model.state_dict())
    llava.tie_weights()
    many = OqvlProcessor(processor.config.model_copy(update={"visual_tokens_per_image": 16}), processor.tokenizer_json)
    inputs = many.batch([[picture(0), "\na red apple"]], chat=False)
    torch.testing.assert_close(model(**inputs).logits, llava(**inputs).logits, atol=1e-6, rtol=0)


@torch.no_grad()
def test_features_are_those_of_the_second_to_last_block(model, processor, picture):
    whole = SiglipVisionModel(model.config.vision_config).eval()
    whole.embeddings.load_state_dict(model.vision.embeddings.state_dict())
    for layer, source in zip(whole.encoder.layers, model.vision.layers, strict=False):
        layer.load_state_dict(source.state_dict())
    pixels = processor.pixels([picture(0)])
    expected = whole(pixels, output_hidden_states=True).hidden_states[-2]
    torch.testing.assert_close(model.vision(pixels), expected, atol=1e-6, rtol=0)


def test_labels_give_the_mean_loss_that_transformers_users_expect(model, inputs):
    labels = inputs["input_ids"].masked_fill(inputs["attention_mask"] == 0, -100)
    output = model(**inputs, labels=labels)
    expected = torch.nn.functional.cross_entropy(output.logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
    torch.testing.assert_close(output.loss, expected)
