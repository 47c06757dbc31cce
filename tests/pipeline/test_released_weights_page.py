"""The page on the released weights: its blocks run from top to bottom as printed, on tiny files of the same names."""

from __future__ import annotations

import importlib
import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from code_blocks import Block, blocks

PAGE = Path(__file__).resolve().parents[2] / "docs" / "released-weights.md"
LAST_ID, NUM_ROWS = 151664, 151936
TRAINED = 7.0


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory, make_tokenizer: Callable[[str], bytes]) -> Path:
    """Where the page was followed."""
    directory = tmp_path_factory.mktemp("released-weights")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(directory)
        Image.new("RGB", (40, 30), (200, 60, 90)).save("cat.jpg")
        for block in blocks(PAGE):
            follow(block, monkeypatch, make_tokenizer("qwen2"))
    return directory


def follow(block: Block, monkeypatch: pytest.MonkeyPatch, tokenizer_json: bytes) -> None:
    """Do what one block of the page says. Downloads are replaced by tiny files of the published names."""
    if block.language == "python":
        exec(compile("\n" * (block.line - 1) + block.code, str(PAGE), "exec"), {})
        return
    for line in block.code.replace("\\\n", " ").splitlines():
        words = shlex.split(line)
        if words[2] == "hf":
            write_download(Path(words[-1]), tokenizer_json)
        else:
            if words[4].startswith("source=sft/"):
                write_checkpoint(Path(words[4].removeprefix("source=")))
            call(words, monkeypatch)


def write_download(directory: Path, tokenizer_json: bytes) -> None:
    directory.mkdir()
    {"released": write_released, "siglip": write_tower, "qwen2.5": write_decoder}[directory.name](
        directory, tokenizer_json
    )


def write_released(directory: Path, _: bytes) -> None:
    import torch

    (directory / "checkpoints").mkdir()
    fields = {
        "model_id": "Open-Qwen2VL",
        "arch_specifier": "full-align+729-avgpool",
        "vision_backbone_id": "siglip-vit-so400m-384px",
        "llm_backbone_id": "qwen2.5-1.5b-instruct",
        "image_resize_strategy": "resize-naive",
        "llm_max_length": 4096,
    }
    (directory / "config.json").write_text(json.dumps({"model": fields}))
    layers = torch.nn.Sequential(torch.nn.Linear(32, 16), torch.nn.GELU(), torch.nn.Linear(16, 16))
    parts = {
        "projector": {f"mlp_projector.{name}": tensor for name, tensor in layers.state_dict().items()},
        "llm_backbone": {f"llm.{name}": tensor for name, tensor in decoder().state_dict().items()},
    }
    torch.save({"model": parts}, directory / "checkpoints/latest-checkpoint.pt")


def write_tower(directory: Path, _: bytes) -> None:
    import timm
    import torch

    tower = timm.create_model("vit_so400m_patch14_siglip_384", embed_dim=32, depth=2, num_classes=0)
    state = {f"visual.trunk.{name}": tensor for name, tensor in tower.state_dict().items()}
    torch.save(state | {"logit_scale": torch.ones(1)}, directory / "open_clip_pytorch_model.bin")


def write_decoder(directory: Path, tokenizer_json: bytes) -> None:
    """Write a configuration, and a tokenizer that is small but has its last id where Qwen2.5's is."""
    decoder().config.save_pretrained(directory)
    tokenizer = json.loads(tokenizer_json)
    tokenizer["added_tokens"] = [token for token in tokenizer["added_tokens"] if token["content"].startswith("<|im_")]
    vocab = tokenizer["model"]["vocab"]
    first = LAST_ID + 1 - len(tokenizer["added_tokens"])
    for offset, token in enumerate(tokenizer["added_tokens"]):
        vocab.pop(token["content"], None)
        token["id"] = first + offset
    taken = set(vocab.values())
    vocab |= {f"filler {index}": index for index in range(first) if index not in taken}
    (directory / "tokenizer.json").write_text(json.dumps(tokenizer))


def decoder() -> Any:
    from transformers import Qwen2Config, Qwen2ForCausalLM

    return Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=NUM_ROWS,
            hidden_size=16,
            intermediate_size=24,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=1,
            tie_word_embeddings=True,
        )
    )


def write_checkpoint(directory: Path) -> None:
    """Have oqvl-train save a checkpoint of the converted model, whose projector has been trained."""
    import torch

    from oqvl_model import OqvlForConditionalGeneration
    from oqvl_train.checkpoint import save_checkpoint
    from oqvl_train.config import TrainConfig
    from oqvl_train.optimizer import Optimizer
    from oqvl_train.parallel import open_world
    from oqvl_train.run_directory import RunDirectory

    model: Any = OqvlForConditionalGeneration.from_pretrained("open-qwen2vl")
    model.text.requires_grad_(False)
    with torch.no_grad():
        model.projector.linear_1.bias.fill_(TRAINED)
    config = TrainConfig.model_validate(
        {"checkpoint": "open-qwen2vl", "packed": "packed", "output": "sft", "trainee": "a:B", "device": "cpu"}
    )
    with open_world(config) as world:
        step = int(directory.name.removeprefix("step-"))
        save_checkpoint(RunDirectory(Path("sft")), step, model, Optimizer(model, config), world, keep=1)


def call(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a console command in this process, where torch is imported once for all of them."""
    assert words[:2] == ["uv", "run"], f"{PAGE}: {shlex.join(words)} does not begin with uv run"
    monkeypatch.setattr(sys, "argv", words[2:])
    main = importlib.import_module(f"{words[2].replace('-', '_')}.cli").main
    try:
        main()
    except SystemExit as done:
        if done.code:
            pytest.fail(f"{shlex.join(words)} ended with {done.code}")


def test_the_parts_are_of_one_model(directory: Path) -> None:
    from oqvl_model import OqvlForConditionalGeneration, OqvlProcessor

    model: Any = OqvlForConditionalGeneration.from_pretrained(directory / "open-qwen2vl")
    processor = OqvlProcessor.from_pretrained(directory / "open-qwen2vl")
    assert model.config.visual_tokens_per_image == processor.config.visual_tokens_per_image == 729
    assert processor.config.chat_template == "open-qwen2vl"
    ids = [processor.special_id(token) for token in ("<|endofchunk|>", "<s>", "<|pad|>", "<image>")]
    assert ids == [151665, 151666, 151667, 151668]


def test_a_checkpoint_of_the_trainer_is_merged(directory: Path) -> None:
    from safetensors.torch import load_file

    before, after = (load_file(directory / name / "model.safetensors") for name in ("open-qwen2vl", "sft-200"))
    assert {name for name in before if not before[name].equal(after[name])} == {"projector.linear_1.bias"}
    assert (after["projector.linear_1.bias"] == TRAINED).all()
