"""The templates, against prompts of the original's own prompt builder and tokenisation.

`data/open_qwen2vl_prompts.json` holds 20 conversations and 4 raw prompts, and the ids that Open-Qwen2VL's public code
(2025, commit 0d76f9f) makes of them in fine-tuning and in its demonstration. The tokenizer is
`data/qwen2_style_tokenizer.json`, a small one with Qwen2's normalisation and splitting; -1 stands for an image.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from oqvl_model.chat_template import ChatTokens, Section, chat_sections
from oqvl_model.processing_oqvl import OqvlProcessor, ProcessorConfig
from oqvl_model.special_tokens import add_special_tokens

DATA = Path(__file__).parent / "data"
PROMPTS = json.loads((DATA / "open_qwen2vl_prompts.json").read_text(encoding="utf-8"))
CONVERSATIONS = [prompt for prompt in PROMPTS if "turns" in prompt]
RAW_PROMPTS = [prompt for prompt in PROMPTS if "raw" in prompt]
IMAGE = Image.new("RGB", (2, 2))
TOKENS = ChatTokens(bos=1, start=2, end=3, system_prompt="Help.")


@pytest.fixture(scope="module")
def released() -> OqvlProcessor:
    config = ProcessorConfig(
        image_size=24,
        image_mean=(0.5, 0.5, 0.5),
        image_std=(0.5, 0.5, 0.5),
        visual_tokens_per_image=1,
        chat_template="open-qwen2vl",
    )
    tokenizer_json = (DATA / "qwen2_style_tokenizer.json").read_bytes()
    return OqvlProcessor(config, add_special_tokens(tokenizer_json, ["<s>", "<|pad|>", "<image>"]))


def pieces(message: str) -> list[str | Image.Image]:
    first, *others = message.split("<image>")
    return [first, *(piece for text in others for piece in (IMAGE, text))]


@pytest.mark.parametrize("conversation", CONVERSATIONS, ids=lambda conversation: repr(conversation["turns"])[:40])
def test_prompts_equal_those_of_the_original(conversation, released):
    expected = [released.image_token_id if token_id == -1 else token_id for token_id in conversation["ids"]]
    turns = [pieces(turn) for turn in conversation["turns"]]
    assert released.encode_conversation(turns) == expected
    if len(turns) == 1:
        assert released.encode_prompt(turns[0], chat=True) == expected


@pytest.mark.parametrize("prompt", RAW_PROMPTS, ids=lambda prompt: prompt["raw"])
def test_raw_prompts_equal_those_of_the_original(prompt, released):
    expected = [released.image_token_id if token_id == -1 else token_id for token_id in prompt["ids"]]
    assert released.encode_prompt(pieces(prompt["raw"]), chat=False) == expected


def test_conversations_cover_what_matters():
    num_images = {sum(turn.count("<image>") for turn in each["turns"]) for each in CONVERSATIONS}
    assert (len(CONVERSATIONS), len(RAW_PROMPTS)) == (20, 4)
    assert {0, 1, 2, 3} <= num_images
    assert any(len(each["turns"]) > 1 for each in CONVERSATIONS)


def test_chatml_opens_every_turn():
    (section,) = chat_sections("chatml", [["Hi ", IMAGE], ["Yes."], ["Sure?"]], TOKENS)
    assert section == Section(
        (
            *(1, 2, "system\nHelp.", 3, "\n", 2, "user\n", "Hi ", IMAGE, 3, "\n"),
            *(2, "assistant\n", "Yes.", 3, "\n", 2, "user\n", "Sure?", 3, "\n", 2, "assistant\n"),
        )
    )


def test_the_released_template_drops_tokens_only_after_the_bos():
    turns = [[" ", "", IMAGE, " x "], [" "], [IMAGE]]
    assert chat_sections("open-qwen2vl", turns, TOKENS) == [
        Section((1, 2, "system\nHelp.", 3, "\n", 2, "user\n", IMAGE, " x", 3, "assistant\n"), drops_after_image=True),
        Section((" ", 3, "\n")),
        Section((2, "user\n", IMAGE, 3, "assistant\n")),
    ]
    without_bos = ChatTokens(bos=None, start=2, end=3, system_prompt="")
    assert chat_sections("open-qwen2vl", [[IMAGE]], without_bos) == [Section((2, "user\n", IMAGE, 3, "assistant\n"))]


def test_the_template_is_saved_only_if_it_is_not_the_default(released, processor, tmp_path):
    for name, made in [("released", released), ("default", processor)]:
        made.save_pretrained(tmp_path / name)
        assert OqvlProcessor.from_pretrained(tmp_path / name).config == made.config
    assert json.loads((tmp_path / "released/processor_config.json").read_text())["chat_template"] == "open-qwen2vl"
    assert "chat_template" not in (tmp_path / "default/processor_config.json").read_text()
