"""The whole path by its console commands: foreign tars in, a comparison of two evaluated models out.

Everything is so small that nothing is learned; what is checked is what the stages tell each other.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from oqvl_shards.dataset import Dataset, open_dataset
from oqvl_shards.manifest import CheckpointDetails, PackedDetails
from oqvl_shards.tar.reader import ShardReader
from oqvl_shards.tar.writer import TarWriter

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


def test_every_sample_is_accounted_for(datasets: dict[str, Dataset]):
    accounts = {path: dataset.manifest.account for path, dataset in datasets.items()}
    found = {path: (account.num_in, account.num_kept, account.rejected) for path, account in accounts.items()}
    selected_against = {
        "one per rules.content_sha": 1,
        f"rules.width >= {SIDE}": 1,
        "rules rejected it: empty_text": 1,
        "rules rejected it: image_broken": 1,
    }
    expected = {
        "pool": (12, 12, {}),
        "scores": (12, 10, {"empty_text": 1, "image_broken": 1}),
        "subset": (12, 8, selected_against),
        "filtered": (12, 8, {"not_selected": 4}),
        "packed-pretrain": (8, 8, {}),
        "conversations": (13, 12, {"missing_image": 1}),
        "packed-sft": (12, 11, {"empty_answer": 1}),
        "benchmark": (4, 4, {}),
        "answers-base": (4, 4, {}),
        "answers-sft": (4, 4, {}),
    }
    assert {path: found[path] for path in expected} == expected
    assert [shard.num_samples for shard in datasets["filtered"].manifest.shards] == [5, 3]
    assert datasets["pool"].manifest.statistics["unusable_empty_text"] == 1


def test_resharding_copies_the_pictures(datasets: dict[str, Dataset]):
    filtered = datasets["filtered"]
    images, captions = set(), set()
    for shard in filtered.manifest.shards:
        with ShardReader(filtered.shard_path(shard)) as reader:
            images |= {reader.image(sample)[1] for sample in reader.samples}
            captions |= {reader.text(sample) for sample in reader.samples}
    assert images == {picture(colour) for colour in COLOURS}
    # Of the two samples with the red file, the hash of their uids decides which stays.
    assert captions - {"a red picture", "the same file again"} == {f"a {c} picture" for c in COLOURS if c != "red"}


def test_training_sees_every_pack_at_its_resolution(directory: Path, datasets: dict[str, Dataset]):
    for run_name, packed_name, visual_tokens in [("pretrain", "packed-pretrain", 4), ("sft", "packed-sft", 16)]:
        packed = datasets[packed_name].manifest
        details, trained = packed.details, datasets[f"{run_name}/model"].manifest
        assert isinstance(details, PackedDetails)
        assert isinstance(trained.details, CheckpointDetails)
        assert details.visual_tokens_per_image == trained.details.visual_tokens_per_image == visual_tokens
        assert details.tokenizer_sha256 == hashlib.sha256((directory / "tokenizer.json").read_bytes()).hexdigest()
        rows = metrics(directory / run_name)
        global_batch_size = trained.lineage.config["global_batch_size"]
        num_steps = NUM_EPOCHS * math.ceil(packed.num_samples / global_batch_size)
        assert (trained.details.stage, trained.details.step) == (run_name, num_steps)
        assert [row["step"] for row in rows] == list(range(1, num_steps + 1))
        assert sum(row["num_tokens"] for row in rows) == NUM_EPOCHS * details.num_tokens
        assert sum(row["num_targets"] for row in rows) == NUM_EPOCHS * details.num_target_tokens
    # A picture costs another twelve tokens, and nothing else about the model changes.
    configs = [json.loads((directory / path / "config.json").read_text()) for path in ("pretrain/model", "sft/model")]
    assert [config.pop("visual_tokens_per_image") for config in configs] == [4, 16]
    assert configs[0] == configs[1]


@pytest.mark.parametrize("path", STEPS)
def test_a_dataset_is_as_its_manifest_says(path: str, directory: Path, datasets: dict[str, Dataset]):
    report = json.loads(run(f"oqvl-shards check {path} --json", directory))
    assert report["problems"] == []
    assert report["num_samples"] == datasets[path].manifest.num_samples > 0


def test_the_answers_lead_back_to_the_imported_data(directory: Path, datasets: dict[str, Dataset]):
    digests = {path: dataset.manifest.digest() for path, dataset in datasets.items()}
    path_of = {digest: path for path, digest in digests.items()}
    lineage = datasets["answers-sft"].manifest.lineage
    history = {
        path_of[ancestor.digest]: (ancestor.tool, [path_of[parent] for parent in ancestor.parents])
        for ancestor in lineage.ancestors
    }
    history["answers-sft"] = (lineage.tool, [path_of[parent] for parent in lineage.parents])
    assert history == {path: step for path, step in STEPS.items() if path != "answers-base"}
    tree = run("oqvl-shards lineage answers-sft", directory)
    for path, (tool, _) in STEPS.items():
        is_drawn = any(tool in line and line.endswith(digests[path][:12]) for line in tree.splitlines())
        assert is_drawn == (path != "answers-base"), path


def test_answers_are_scored_and_compared(directory: Path, datasets: dict[str, Dataset]):
    score = json.loads(run("oqvl-eval score predictions=answers-sft --json", directory))
    assert score["predictions_digest"] == datasets["answers-sft"].manifest.digest()
    assert (score["model"], score["mode"], score["chance"]) == ("sft", "likelihood", 0.5)
    assert (score["overall"]["num_items"], score["reading_counts"]["parsed"]) == (4, 4)
    comparison = json.loads(run("oqvl-eval compare a=answers-base b=answers-sft --json", directory))
    assert (comparison["model_a"], comparison["model_b"]) == ("pretrain", "sft")
    outcomes = [comparison[name] for name in ("both_correct", "only_a", "only_b", "both_wrong")]
    assert sum(outcomes) == comparison["num_items"] == comparison["num_prompts_differing"] == 4
    assert comparison["both_correct"] + comparison["only_b"] == score["overall"]["num_correct"]


def test_two_processes_train_as_one_does(directory: Path, datasets: dict[str, Dataset]):
    run(f"oqvl-train {SFT} output=sft-alone", directory)
    assert metrics(directory / "sft-alone") == [pytest.approx(row, rel=1e-5) for row in metrics(directory / "sft")]
    alone = open_dataset(directory / "sft-alone" / "model").manifest
    assert alone.lineage == datasets["sft/model"].manifest.lineage


def test_packs_of_another_resolution_are_refused(directory: Path):
    result = call(f"oqvl-train {SFT} visual_tokens_per_image=9 output=refused", directory)
    assert result.returncode == 3
    assert "packed-sft was packed for 16, the configuration says 9" in result.stderr
    assert "hint: pack again with 9" in result.stderr
    assert not (directory / "refused").exists()
