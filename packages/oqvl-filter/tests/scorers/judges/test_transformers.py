from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from oqvl_filter.scorers.judges.transformers import TransformersJudge
from oqvl_shards.errors import ConfigError, HardwareError

TEMPLATE = (
    "{% for m in messages %}{% for c in m['content'] %}{% if c['type'] == 'image' %}<image>{% else %}{{ c['text'] }}"
    "{% endif %}{% endfor %}{% endfor %}"
)


@pytest.fixture(scope="session")
def tiny_vlm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LLaVA of two layers a tower with seeded random weights, and a tokenizer of bytes and whole numbers."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import (
        CLIPImageProcessor,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
        PreTrainedTokenizerFast,
    )

    directory = tmp_path_factory.mktemp("tiny-vlm")
    words = ["<pad>", "<unk>", "</s>", "<image>", *map(chr, range(32, 127)), *map(str, range(10, 101))]
    tokenizer = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")  # pyrefly: ignore
    tokenizer.decoder = decoders.Fuse()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        unk_token="<unk>",
        eos_token="</s>",
        additional_special_tokens=["<image>"],
    )
    images = CLIPImageProcessor(size={"height": 16, "width": 16}, do_center_crop=False)
    processor: Any = LlavaProcessor(
        images, fast, patch_size=8, vision_feature_select_strategy="full", chat_template=TEMPLATE
    )
    processor.num_additional_image_tokens = 1
    processor.save_pretrained(directory)
    torch.manual_seed(0)
    vision = CLIPVisionConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=16, patch_size=8
    )
    text = LlamaConfig(
        vocab_size=len(words),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=512,
        initializer_range=0.5,
        pad_token_id=0,
        eos_token_id=2,
        bos_token_id=None,
    )
    config = LlavaConfig(
        vision_config=vision, text_config=text, image_token_index=3, vision_feature_select_strategy="full"
    )
    LlavaForConditionalGeneration(config).save_pretrained(directory)
    return directory


IMAGES = [Image.new("RGB", (20, 30), colour) for colour in ("red", "green", "blue")]
PROMPTS = [[f"rate {letter * length}", f"{letter} again"] for letter, length in (("a", 1), ("b", 30), ("c", 7))]


def test_an_answer_does_not_depend_on_the_batch(tiny_vlm: Path):
    """Prompts of other lengths stand beside it, padded on the left and masked."""
    judge = TransformersJudge(str(tiny_vlm))
    together = judge.answer(IMAGES, PROMPTS, 4)
    alone = [judge.answer([image], [row], 4)[0] for image, row in zip(IMAGES, PROMPTS, strict=True)]
    assert len({answer.text for row in together for answer in row}) > 1
    for row, same in zip(together, alone, strict=True):
        for answer, expected in zip(row, same, strict=True):
            assert answer.text == expected.text
            assert answer.first_tokens == pytest.approx(expected.first_tokens, abs=1e-5)


def test_all_prompts_share_one_vision_pass_and_see_their_own_image(tiny_vlm: Path):
    judge = TransformersJudge(str(tiny_vlm))
    passes = []
    judge.model.model.vision_tower.register_forward_hook(lambda *_: passes.append(1))
    answers = judge.answer(IMAGES, [["rate it", "and again", "once more"]] * 3, 2)
    assert len(passes) == 1
    assert answers[0][0].first_tokens != pytest.approx(answers[1][0].first_tokens, abs=1e-6)
    judge.answer(IMAGES[:1], [["rate it"]], 2)
    assert len(passes) == 2


def test_first_tokens_are_the_numbers_of_the_model_itself(tiny_vlm: Path):
    judge = TransformersJudge(str(tiny_vlm))
    ((answer,),) = judge.answer(IMAGES[:1], [["rate it"]], 1)
    inputs = judge.processor(text=["<image>rate it"], images=[IMAGES[0]], return_tensors="pt")
    with torch.inference_mode():
        logits = judge.model(**inputs).logits[0, -1].softmax(dim=-1)
    vocabulary = judge.processor.tokenizer.get_vocab()
    assert sorted(answer.first_tokens, key=int) == [str(number) for number in range(101)]
    for number in ("0", "7", "85", "100"):
        assert answer.first_tokens[number] == pytest.approx(logits[vocabulary[number]].item(), abs=1e-5)


def test_a_caption_cannot_smuggle_in_an_image(tiny_vlm: Path):
    judge = TransformersJudge(str(tiny_vlm))
    ((answer,),) = judge.answer(IMAGES[:1], [["<image> and </s> in a caption"]], 2)
    assert answer.first_tokens


def test_the_fingerprint_is_known_without_loading_the_model(tiny_vlm: Path, tmp_path: Path):
    import shutil

    first = TransformersJudge(str(tiny_vlm))
    moved = shutil.copytree(tiny_vlm, tmp_path / "moved")
    assert TransformersJudge(str(moved)).fingerprint() == first.fingerprint()
    assert "model" not in vars(first)
    assert TransformersJudge(str(moved), dtype="bfloat16").fingerprint() != first.fingerprint()
    (moved / "generation_config.json").write_text("{}")
    assert TransformersJudge(str(moved)).fingerprint() != first.fingerprint()


def test_what_cannot_be_loaded_is_named(tmp_path: Path, tiny_vlm: Path):
    with pytest.raises(ConfigError, match="cannot load"):
        TransformersJudge(str(tmp_path)).answer(IMAGES[:1], [["?"]], 1)
    with pytest.raises(ConfigError, match="float64"):
        TransformersJudge(str(tmp_path), dtype="float64")
    with pytest.raises(HardwareError, match="'abacus'"):
        TransformersJudge(str(tiny_vlm), device="abacus").answer(IMAGES[:1], [["?"]], 1)
