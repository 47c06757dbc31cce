"""The whole path from foreign tars to two evaluated models, as console commands on data of a few pictures."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from PIL import Image

from oqvl_shards.tar.writer import TarWriter

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

SELECT_RECIPE = f"""
keep = "rules.width >= {SIDE} and rules.height >= {SIDE} then one per rules.content_sha"
"""

MODEL_RECIPE = """
name = "tiny"
tokenizer = "tokenizer.json"
visual_tokens_per_image = 4
system_prompt = ""

[vision]
image_size = 24
patch_size = 6
hidden_size = 16
intermediate_size = 24
num_layers = 2
num_attention_heads = 2

[text]
hidden_size = 32
intermediate_size = 48
num_layers = 2
num_attention_heads = 2
max_position_embeddings = 256
"""

CHAT_RECIPE = """
template = "conversation"
system_prompt = ""
bin_capacity = 96
visual_tokens_per_image = 16
"""

NUM_EPOCHS = 2

TRAIN_RECIPE = f"""
trainee = "oqvl_model.trainee:PackedTrainee"
num_epochs = {NUM_EPOCHS}
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
TORCHRUN = "torchrun --standalone --local-addr localhost --nproc-per-node 2 -m oqvl_train.cli"

PATH = f"""
oqvl-shards import webdataset directory=pool name=colours
oqvl-filter score pool=pool output=scores
oqvl-filter select pools=pool scores.rules=scores output=subset -c select.toml
oqvl-filter reshard pools=['pool'] subset=subset output=filtered name=colours-filtered samples_per_shard=5
oqvl-pack run source=filtered output=packed-pretrain tokenizer=tokenizer.json bin_capacity=64 visual_tokens_per_image=4
oqvl-model init -c model.toml output=model
oqvl-train {PRETRAIN} visual_tokens_per_image=4 output=pretrain
oqvl-shards import llava annotations=chats/chats.json images=chats output=conversations name=chats
oqvl-pack run -c chat.toml source=conversations output=packed-sft tokenizer=tokenizer.json
{TORCHRUN} {SFT} output=sft
oqvl-eval import source=questions/colours.jsonl images=pictures output=benchmark
oqvl-eval run -c eval.toml checkpoint=pretrain/model output=answers-base
oqvl-eval run -c eval.toml checkpoint=sft/model output=answers-sft chat=true
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
    script, *arguments = command.split()
    words = [str(Path(sys.executable).with_name(script)), *arguments]
    return subprocess.run(words, cwd=directory, capture_output=True, text=True, check=False)


def run(command: str, directory: Path) -> str:
    """Run a console script that must succeed and return what it prints."""
    result = call(command, directory)
    assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
    return result.stdout


def write_inputs(directory: Path, tokenizer_json: bytes) -> None:
    """Write everything that the path starts from: recipes, a tokenizer, pictures, chats, questions."""
    (directory / "tokenizer.json").write_bytes(tokenizer_json)
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
