"""The whole path by its console commands: foreign tars in, a comparison of two evaluated models out.

Everything is so small that nothing is learned; what is checked is what the stages tell each other.
"""

from __future__ import annotations

import io
import json
import math
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from oqvl_shards.manifest import Dataset, open_dataset
from oqvl_shards.tar_writer import TarWriter

pytestmark = pytest.mark.distributed

COLOURS = {
    "black": (0, 0, 0),
    "blue": (0, 0, 255),
    "green": (0, 128, 0),
    "grey": (128, 128, 128),
    "purple": (128, 0, 128),
    "red": (255, 0, 0),
    "white": (255, 255, 255),
    "yellow": (255, 255, 0),
}
SIDE = 32
"""Side of a picture, in pixels."""

MODEL_RECIPE = """
name = "tiny"
tokenizer = "tokenizer.json"
visual_tokens_per_image = 4
system_prompt = ""
vision = { image_size = 24, patch_size = 6, hidden_size = 16, intermediate_size = 24, num_layers = 2, num_attention_heads = 2 }
text = { hidden_size = 32, intermediate_size = 48, num_layers = 2, num_attention_heads = 2, max_position_embeddings = 256 }
"""

TRAIN_RECIPE = """
trainee = "oqvl_model.trainee:PackedTrainee"
num_epochs = 2
learning_rate = 1e-3
precision = "fp32"
num_loader_workers = 1
device = "cpu"
"""

EVAL_RECIPE = """
benchmark = "benchmark"
answerer = "oqvl_model.answerer:VlmAnswerer"
answerer_options = { device = "cpu" }
mode = "likelihood"
choices_as = "text"
"""

PRETRAIN = "run -c train.toml checkpoint=model packed=packed-pretrain stage=pretrain global_batch_size=2"
# Three packs a step: of two processes one always has a pack less than the other.
SFT = "run -c train.toml checkpoint=pretrain/model packed=packed-sft stage=sft global_batch_size=3"
TORCHRUN = "torchrun --nnodes 1 --nproc-per-node 2 --rdzv-backend c10d --rdzv-endpoint localhost:0 --local-addr localhost"

PATH = f"""
oqvl-shards import webdataset directory=pool name=colours
oqvl-filter score pool=pool output=scores
oqvl-filter select pool=pool scores.rules=scores output=subset -c select.toml
oqvl-filter reshard pools=['pool'] subset=subset output=filtered name=colours-filtered samples_per_shard=5
oqvl-pack run source=filtered output=packed-pretrain tokenizer=tokenizer.json bin_capacity=64 visual_tokens_per_image=4
oqvl-model init -c model.toml output=model
oqvl-train {PRETRAIN} visual_tokens_per_image=4 output=pretrain
oqvl-shards import llava annotations=chats/chats.json images=chats output=conversations name=chats
oqvl-pack run -c chat.toml source=conversations output=packed-sft tokenizer=tokenizer.json
{TORCHRUN} -m oqvl_train.cli {SFT} output=sft
oqvl-eval import source=questions/colours.jsonl images=pictures output=benchmark
oqvl-eval run -c eval.toml checkpoint=pretrain/model output=answers-base
oqvl-eval run -c eval.toml checkpoint=sft/model output=answers-sft chat=true
"""

SELECT_RECIPE = f"""
keep = [[{{ column = "rules.width", at_least = {SIDE} }}, {{ column = "rules.height", at_least = {SIDE} }}]]
then = [{{ first_of = "rules.content_sha" }}]
"""

CHAT_RECIPE = """
template = "conversation"
system_prompt = ""
bin_capacity = 96
visual_tokens_per_image = 16
"""

STEPS = {
    "pool": ("oqvl-shards import webdataset", []),
    "scores": ("oqvl-filter score", ["pool"]),
    "subset": ("oqvl-filter select", ["pool", "scores"]),
    "filtered": ("oqvl-filter reshard", ["pool", "subset"]),
    "packed-pretrain": ("oqvl-pack run", ["filtered"]),
    "model": ("oqvl-model init", []),
    "pretrain/model": ("oqvl-train run", ["model", "packed-pretrain"]),
    "conversations": ("oqvl-shards import llava", []),
    "packed-sft": ("oqvl-pack run", ["conversations"]),
    "sft/model": ("oqvl-train run", ["pretrain/model", "packed-sft"]),
    "benchmark": ("oqvl-eval import jsonl", []),
    "answers-base": ("oqvl-eval run", ["benchmark", "pretrain/model"]),
    "answers-sft": ("oqvl-eval run", ["benchmark", "sft/model"]),
}
"""The datasets of the path: what writes each, and of what."""


def call(command: str, directory: Path) -> subprocess.CompletedProcess[str]:
    """Run a console script of this environment in `directory`."""
    script, *arguments = shlex.split(command, posix=False)
    words = [str(Path(sys.executable).with_name(script)), *arguments]
    return subprocess.run(words, cwd=directory, capture_output=True, text=True, check=False)


def run(command: str, directory: Path) -> str:
    """Run a console script that must succeed and return what it prints."""
    result = call(command, directory)
    assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
    return result.stdout


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory, make_tokenizer: Callable[[str], bytes]) -> Path:
    """The working directory after every command of the path."""
    directory = tmp_path_factory.mktemp("path")
    (directory / "tokenizer.json").write_bytes(make_tokenizer("qwen2"))
    recipes = {
        "model": MODEL_RECIPE,
        "train": TRAIN_RECIPE,
        "eval": EVAL_RECIPE,
        "select": SELECT_RECIPE,
        "chat": CHAT_RECIPE,
    }
    for name, recipe in recipes.items():
        (directory / f"{name}.toml").write_text(recipe)
    write_pool(directory / "pool")
    write_chats(directory / "chats")
    write_questions(directory)
    for command in PATH.strip().splitlines():
        run(command, directory)
    return directory


def picture(colour: str, side: int = SIDE) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), COLOURS[colour]).save(buffer, "PNG")
    return buffer.getvalue()


def write_pool(directory: Path) -> None:
    """Write two tars: eight good pairs, and one of each thing that rules find."""
    pairs = [(picture(colour), f"a {colour} picture".encode()) for colour in COLOURS]
    pairs += [
        (picture("red"), b"the same file again"),
        (picture("blue", side=16), b"a small picture"),
        (b"no picture", b"a broken picture"),
        (picture("green"), b"  "),
    ]
    for number in range(2):
        with TarWriter(directory / f"{number:05d}.tar") as tar:
            for key, (image, caption) in list(enumerate(pairs))[number::2]:
                tar.add(f"{key:06d}.png", image)
                tar.add(f"{key:06d}.txt", caption)


def write_chats(directory: Path) -> None:
    """Write LLaVA records: one picture, two pictures, two turns, none; and two that cannot be used."""
    directory.mkdir()
    for colour in COLOURS:
        (directory / f"{colour}.png").write_bytes(picture(colour))

    def record(images: list[str], *values: str) -> dict[str, Any]:
        speakers = ["human", "gpt"] * (len(values) // 2)
        turns = [{"from": speaker, "value": value} for speaker, value in zip(speakers, values, strict=True)]
        return {"image": [f"{name}.png" for name in images], "conversations": turns}

    records = [record([colour], "<image>\nWhich colour?", colour) for colour in COLOURS]
    records += [
        record(["red", "blue"], "<image><image>\nWhich two?", "red, blue"),
        record(["red"], "<image>\nWhich colour?", "red", "Spell it backwards.", "der"),
        record([], "Name a colour.", "green"),
        record(["missing"], "<image>\nWhich colour?", "none"),
        record(["red"], "<image>\nWhich colour?", " "),
    ]
    (directory / "chats.json").write_text(json.dumps(records))


def write_questions(directory: Path) -> None:
    names = list(COLOURS)
    (directory / "questions").mkdir()
    (directory / "pictures").mkdir()
    items = []
    for number, name in enumerate(names[:4]):
        (directory / "pictures" / f"{name}.png").write_bytes(picture(name))
        choices = [f"a {choice} picture" for choice in (name, names[4 + number])]
        items.append({"id": name, "question": "<image>", "images": [f"{name}.png"], "choices": choices, "answer": 0})
    lines = "".join(f"{json.dumps(item)}\n" for item in items)
    (directory / "questions" / "colours.jsonl").write_text(lines)


def metrics(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def datasets(directory: Path) -> dict[str, Dataset]:
    """Every dataset that was made, by its path."""
    return {path: open_dataset(directory / path) for path in STEPS}


def test_what_filtering_keeps_is_accounted_for(datasets: dict[str, Dataset]):
    accounts = {path: datasets[path].manifest.account.model_dump() for path in ("pool", "scores", "subset", "filtered")}
    print(accounts)
    assert accounts == {}


def test_packs(datasets: dict[str, Dataset]):
    print(datasets["conversations"].manifest.account, datasets["packed-sft"].manifest.account)
    print(datasets["packed-sft"].manifest.details, datasets["packed-pretrain"].manifest.details)
    print(datasets["sft/model"].manifest.details, datasets["sft/model"].manifest.statistics)
    raise AssertionError


@pytest.mark.parametrize("path", STEPS)
def test_a_dataset_is_good(path: str, directory: Path, datasets: dict[str, Dataset]):
    report = json.loads(run(f"oqvl-shards verify {path} --json", directory))
    assert report["problems"] == []
    assert report["num_samples"] == datasets[path].manifest.num_samples > 0


def test_lineage(directory: Path, datasets: dict[str, Dataset]):
    print(run("oqvl-shards lineage answers-sft", directory))
    raise AssertionError


def test_score(directory: Path):
    for c in [
        "oqvl-eval score predictions=answers-sft --json",
        "oqvl-eval compare a=answers-base b=answers-sft normalisation=per_token --json",
    ]:
        print(run(c, directory))
    raise AssertionError


def test_two_processes_train_as_one_does(directory: Path, datasets: dict[str, Dataset]):
    run(f"oqvl-train {SFT} output=sft-alone", directory)
    for a, b in zip(metrics(directory / "sft"), metrics(directory / "sft-alone"), strict=True):
        print(a, b)
    raise AssertionError


def test_refused(directory: Path):
    r = call(f"oqvl-train {SFT} output=refused visual_tokens_per_image=9", directory)
    print(r)
    raise AssertionError
