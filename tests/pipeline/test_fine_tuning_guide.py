"""The guide on fine-tuning: its blocks run from top to bottom as printed, on tiny models with the same names."""

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
from tokenizers import Tokenizer

from code_blocks import Block, blocks
from oqvl_shards.dataset import open_dataset
from oqvl_shards.manifest import CheckpointDetails, PackedDetails

PAGE = Path(__file__).resolve().parents[2] / "docs" / "fine-tuning.md"
DATA_FILES = {"json": "chats.json", "jsonl": "questions.jsonl"}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory, make_tokenizer: Callable[[str], bytes]) -> Path:
    """Where the page was followed."""
    directory = tmp_path_factory.mktemp("fine-tuning")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(directory)
        write_pretrained(make_tokenizer("qwen2"))
        for block in blocks(PAGE):
            follow(block, monkeypatch)
    return directory


def write_pretrained(tokenizer_json: bytes) -> None:
    """Write two models that are tiny and have the published ones' names, image size and patches."""
    from transformers import Qwen2Config, Qwen2ForCausalLM, SiglipVisionConfig, SiglipVisionModel

    tiny = {"intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
    tower = SiglipVisionConfig(hidden_size=16, image_size=384, patch_size=14, **tiny)
    SiglipVisionModel(tower).save_pretrained("siglip-so400m-patch14-384")
    decoder = Qwen2Config(vocab_size=400, hidden_size=32, num_key_value_heads=2, **tiny)
    Qwen2ForCausalLM(decoder).save_pretrained("qwen2.5-1.5b-instruct")
    tokenizer = json.loads(tokenizer_json)
    # As in Qwen2.5, the tokens of a chat are there, those of OQVL are not.
    tokenizer["added_tokens"] = [token for token in tokenizer["added_tokens"] if token["content"].startswith("<|im_")]
    for offset, token in enumerate(tokenizer["added_tokens"]):
        token["id"] = len(tokenizer["model"]["vocab"]) + offset
    Path("qwen2.5-1.5b-instruct/tokenizer.json").write_text(json.dumps(tokenizer))


def follow(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    """Do what one block of the page says: write a file, or run code."""
    if block.language == "python":
        exec(compile("\n" * (block.line - 1) + block.code, str(PAGE), "exec"), {})
    elif block.language == "toml":
        Path(block.code.splitlines()[0].removeprefix("# ")).write_text(block.code)
    elif block.language == "bash":
        for line in block.code.replace("\\\n", " ").splitlines():
            call(shlex.split(line), monkeypatch)
    else:
        Path(DATA_FILES[block.language]).write_text(block.code)
        if block.language == "json":
            write_pictures(json.loads(block.code))


def write_pictures(records: list[dict[str, Any]]) -> None:
    Path("images").mkdir()
    for record in records:
        names = record.get("image", [])
        for name in [names] if isinstance(names, str) else names:
            Image.new("RGB", (40, 30), (len(record["id"]) * 20, 60, 90)).save(Path("images") / name)


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


def test_the_tokenizer_keeps_its_ids_and_gains_what_is_missing(directory: Path) -> None:
    before = Tokenizer.from_file(str(directory / "qwen2.5-1.5b-instruct/tokenizer.json")).get_vocab()
    after = Tokenizer.from_file(str(directory / "model/tokenizer.json")).get_vocab()
    assert {token: after[token] for token in before} == before
    assert sorted(set(after) - set(before)) == ["<image>", "<s>", "<|endofchunk|>", "<|pad|>"]


def test_every_record_is_packed_and_trained_on(directory: Path) -> None:
    records = json.loads((directory / "chats.json").read_text())
    assert open_dataset(directory / "chats").manifest.num_samples == len(records)
    packed = open_dataset(directory / "packed").manifest.details
    assert isinstance(packed, PackedDetails)
    assert (packed.num_documents, packed.visual_tokens_per_image) == (len(records), 144)
    trained = open_dataset(directory / "sft/model").manifest
    assert isinstance(trained.details, CheckpointDetails)
    assert trained.details.stage == "sft"
    stages = [ancestor.tool for ancestor in trained.lineage.ancestors]
    assert stages.count("oqvl-train run") == 1, "the alignment of the projector is not in the lineage"


def test_the_first_stage_moves_the_projector_alone(directory: Path) -> None:
    from safetensors.torch import load_file

    start, aligned = (load_file(directory / path / "model.safetensors") for path in ("model", "align/model"))
    moved = {name.split(".")[0] for name in start if not start[name].equal(aligned[name])}
    assert moved == {"projector"}


def test_the_answers_are_scored(directory: Path) -> None:
    assert list((directory / "answers/scores").glob("*.json"))
    assert open_dataset(directory / "answers-shuffled").manifest.num_samples == 2
