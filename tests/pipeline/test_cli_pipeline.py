"""The whole path by its console commands: foreign tars in, a comparison of two evaluated models out.

Everything is so small that nothing is learned; what is checked is what the stages tell each other.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_path import COLOURS, NUM_EPOCHS, PATH, SFT, SIDE, STEPS, call, picture, run, write_inputs

from oqvl_shards.dataset import Dataset, open_dataset
from oqvl_shards.manifest import CheckpointDetails, PackedDetails
from oqvl_shards.tar.reader import ShardReader

pytestmark = pytest.mark.distributed


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory, make_tokenizer: Callable[[str], bytes]) -> Path:
    """The working directory after every command of the path."""
    directory = tmp_path_factory.mktemp("path")
    write_inputs(directory, make_tokenizer("qwen2"))
    for command in PATH.strip().splitlines():
        run(command, directory)
    return directory


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
    assert (score["overall"]["num_items"], score["reading_counts"]["read"]) == (4, 4)
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
    assert "packed-sft was packed for 16, but the configuration says 9" in result.stderr
    assert "hint: pack again with 9" in result.stderr
    assert not (directory / "refused").exists()
