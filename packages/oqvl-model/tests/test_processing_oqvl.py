from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from transformers import AutoTokenizer

from oqvl_model.processing_oqvl import OqvlProcessor
from oqvl_shards.errors import ConfigError, DataError


def tokens(processor, ids):
    return [processor._tokenizer.id_to_token(token_id) for token_id in ids]


def text_ids(processor, text):
    return processor._tokenizer.encode(text, add_special_tokens=False).ids


def test_the_chat_template_is_exact(processor, picture):
    ids = processor.encode_prompt([picture(0), "\nwhat is this?"], chat=True)
    start, end = processor.special_id("<|im_start|>"), processor.end_token_id
    assert ids == [
        processor.bos_token_id,
        start,
        *text_ids(processor, "system\nYou are a helpful assistant."),
        end,
        *text_ids(processor, "\n"),
        start,
        *text_ids(processor, "user\n"),
        *[processor.image_token_id] * 4,
        *text_ids(processor, "\nwhat is this?"),
        end,
        *text_ids(processor, "\n"),
        start,
        *text_ids(processor, "assistant\n"),
    ]


def test_a_raw_prompt_is_what_a_caption_follows(processor, picture):
    ids = processor.encode_prompt([picture(0), "\n"], chat=False)
    assert ids == [processor.bos_token_id, *[processor.image_token_id] * 4, *text_ids(processor, "\n")]


def test_begin_token_and_system_turn_are_optional(processor, tokenizer_json):
    bare = OqvlProcessor(processor.config.model_copy(update={"bos_token": "", "system_prompt": ""}), tokenizer_json)
    assert bare.encode_prompt(["a"], chat=False) == text_ids(processor, "a")
    assert bare.encode_prompt(["a"], chat=True)[1:3] == text_ids(processor, "user\na")[:2]


def test_neighbouring_texts_join(processor):
    assert processor.encode_prompt(["a r", "ed apple"], chat=False) == processor.encode_prompt(
        ["a red apple"], chat=False
    )


SPELLINGS = ["<image>", "<s>", "<|im_start|>", "<|im_end|>", "<|pad|>", "a", " ", "\n"]


@given(st.lists(st.one_of(st.sampled_from(SPELLINGS), st.text(max_size=8)), max_size=8).map("".join))
def test_text_never_becomes_a_special_token_and_comes_back_whole(processor, text):
    ids = processor.encode_text(text)
    special = {processor.special_id(token) for token in SPELLINGS[:5]}
    assert not special & set(ids)
    assert processor.decode(ids) == text


def test_pixels_are_resized_to_the_square_and_normalised(processor):
    image = Image.fromarray(np.full((10, 30, 3), (0, 127, 255), np.uint8))
    pixels = processor.pixels([image])
    assert pixels.shape == (1, 3, 24, 24)
    assert pixels.dtype == torch.float32
    torch.testing.assert_close(pixels[0, :, 5, 7], torch.tensor([-1.0, 127 / 127.5 - 1, 1.0]))
    assert processor.pixels([]).shape == (0, 3, 24, 24)


def test_pixels_follow_pillow(processor, picture):
    image = picture(3, size=(50, 20))
    expected = np.asarray(image.resize((24, 24), Image.Resampling.BICUBIC), np.float64) / 127.5 - 1
    np.testing.assert_allclose(processor.pixels([image])[0].permute(1, 2, 0), expected, atol=1e-6)


def test_marks_stand_for_images_in_order(processor, picture):
    images = [picture(seed) for seed in range(3)]
    by_marks = processor(images, ["<image>\na", "b <image> c <image>"])
    by_parts = processor.batch([[images[0], "\na"], ["b ", images[1], " c ", images[2]]], chat=False)
    assert by_marks.keys() == by_parts.keys()
    assert all(torch.equal(by_marks[key], by_parts[key]) for key in by_marks)
    assert by_marks["input_ids"].shape == by_marks["attention_mask"].shape
    assert by_marks["attention_mask"][:, -1].all()


def test_a_missing_image_is_an_error(processor, picture):
    with pytest.raises(DataError, match="2 <image> marks, but 1"):
        processor(picture(0), "<image> and <image>")


def test_a_processor_comes_back_from_its_files(processor, tmp_path):
    processor.save_pretrained(tmp_path)
    loaded = OqvlProcessor.from_pretrained(tmp_path)
    assert loaded.config == processor.config
    assert loaded.tokenizer_json == processor.tokenizer_json
    tokenizer: Any = AutoTokenizer.from_pretrained(tmp_path)
    assert (tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token) == ("<s>", "<|im_end|>", "<|pad|>")
    assert tokenizer("a red apple")["input_ids"] == processor.encode_text("a red apple")
    assert processor.tokenizer.eos_token_id == processor.end_token_id


def test_a_damaged_processor_is_named(processor, tmp_path):
    with pytest.raises(ConfigError, match="no readable processor"):
        OqvlProcessor.from_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"tokenizer\.json cannot be read"):
        OqvlProcessor.from_pretrained(tmp_path)


def test_a_token_that_is_not_special_is_refused(processor, tokenizer_json):
    with pytest.raises(ConfigError, match="not a special token"):
        OqvlProcessor(processor.config.model_copy(update={"image_token": "a"}), tokenizer_json)
