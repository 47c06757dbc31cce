"""Every stage of every package: killed at any point, started twice at once, with equal and with other configurations.

Of runs that start together on one output exactly one writes it; every other one is refused, or finds it finished. What
a killed run leaves is completed by the next one to the bytes of an undisturbed run.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import timm
from interruptions import POINTS
from safetensors.torch import save_file
from tiny_path import COLOURS, PATH, PRETRAIN, picture, run, write_inputs

pytestmark = pytest.mark.distributed

ONE_PROCESS = [line for line in PATH.strip().splitlines() if not line.startswith("torchrun") and "sft" not in line]


@dataclass(frozen=True)
class Stage:
    """A command with two configurations.

    Args:
        command: Without its output.
        one: What makes it the first configuration.
        other: What makes it the second.
        output: The key of its output.
        prepared: A directory whose files are in the output before it begins.
        needs_torch: Whether it imports torch.
    """

    command: str
    one: str
    other: str
    output: str = "output"
    prepared: str = ""
    needs_torch: bool = False


STAGES = {
    "import webdataset": Stage(
        "oqvl-shards import webdataset", "name=one", "name=two", output="directory", prepared="pool"
    ),
    "import llava": Stage(
        "oqvl-shards import llava annotations=chats/chats.json images=chats name=chats",
        "records_per_shard=3",
        "records_per_shard=4",
    ),
    "import obelics": Stage(
        "oqvl-shards import obelics source=web name=web", "records_per_shard=2", "records_per_shard=3"
    ),
    "import packed-json": Stage(
        "oqvl-shards import packed-json source=packs name=packs", "records_per_shard=2", "records_per_shard=3"
    ),
    "import csv": Stage("oqvl-filter import csv source=tables", "name=one", "name=two"),
    "import annotations": Stage("oqvl-filter import annotations source=annotations.json", "name=one", "name=two"),
    "score": Stage("oqvl-filter score pool=pool", "scorer.name=rules", "scorer.name=phash"),
    "select": Stage(
        "oqvl-filter select pools=pool scores.rules=scores", "keep='rules.width >= 32'", "keep='rules.width >= 16'"
    ),
    "reshard": Stage(
        "oqvl-filter reshard pools=pool subset=subset name=new", "samples_per_shard=2", "samples_per_shard=3"
    ),
    "dedup": Stage("oqvl-filter dedup scores.rules=scores method=exact", "seed=1", "seed=2"),
    "import uids": Stage("oqvl-filter import uids source=subset/subset.npy", "name=one", "name=two"),
    "import pictures": Stage("oqvl-filter import pictures source=pictures", "name=one", "name=two"),
    "pack": Stage(
        "oqvl-pack run source=filtered tokenizer=tokenizer.json bin_capacity=64 visual_tokens_per_image=4 "
        "packs_per_shard=1",
        "seed=1",
        "seed=2",
    ),
    "train-dfn": Stage(
        "oqvl-filter train-dfn clean=pool image_trunk=test_resnet image_trunk_weights=trunk.safetensors image_size=32 "
        "embed_dim=2 held_out_fraction=0.25",
        "name=one",
        "name=two",
        needs_torch=True,
    ),
    "init": Stage("oqvl-model init -c model.toml", "seed=1", "seed=2", needs_torch=True),
    "convert": Stage(
        "oqvl-model convert source=pretrain/checkpoints/step-000002 base=model",
        "name=one",
        "name=two",
        needs_torch=True,
    ),
    "train": Stage(f"oqvl-train {PRETRAIN} checkpoint_every=1", "seed=1", "seed=2", needs_torch=True),
    "import jsonl": Stage("oqvl-eval import source=questions/colours.jsonl images=pictures", "task=one", "task=two"),
    "answer": Stage(
        "oqvl-eval run -c eval.toml checkpoint=pretrain/model items_per_chunk=1",
        "limit=3",
        "choices_as=letter",
        needs_torch=True,
    ),
}

DELAYS = (0.0, 0.008, 0.03)
"""Seconds between two runs that race."""


@dataclass(frozen=True)
class Trial:
    """Runs that start together, and the directory that they compete for.

    Args:
        output: The directory.
        configurations: `one` or `other` for each run.
        delays: Seconds after which each starts.
        deaths: Where each is killed; empty: nowhere.
    """

    output: Path
    configurations: tuple[str, ...]
    delays: tuple[float, ...]
    deaths: tuple[str, ...]

    def jobs(self, stage: Stage) -> list[dict[str, Any]]:
        """Return the runs as `interruptions` takes them."""
        rows = zip(self.configurations, self.delays, self.deaths, strict=True)
        return [
            {
                "command": f"{stage.command} {getattr(stage, name)} {stage.output}={self.output}",
                "delay": delay,
                "dies": death,
            }
            for name, delay, death in rows
        ]


def alone(output: Path, name: str) -> Trial:
    return Trial(output, (name,), (0.0,), ("",))


def trials_of(folder: Path) -> dict[str, list[Trial]]:
    """Return, by a name, what happens to one output after the other; the last run of each is undisturbed."""
    trials = {f"undisturbed {name}": [alone(folder / f"undisturbed-{name}/out", name)] for name in ("one", "other")}
    for number, delay in enumerate(DELAYS):
        output = folder / f"race-{number}/out"
        trials[f"race {number}"] = [
            Trial(output, ("one", "other"), (0.0, delay), ("", "")),
            alone(output, "one"),
            alone(output, "other"),
        ]
    output = folder / "equal/out"
    trials["equal"] = [Trial(output, ("one", "one", "one"), (0.0, 0.0, 0.01), ("", "", "")), alone(output, "one")]
    for number, point in enumerate(("after 0.02 seconds", POINTS[0])):
        output = folder / f"equal-killed-{number}/out"
        race = Trial(output, ("one", "one"), (0.0, 0.015), (point, ""))
        trials[f"equal killed {number}"] = [race, alone(output, "one")]
    for number, point in enumerate(POINTS):
        output = folder / f"killed-{number}/out"
        trials[f"killed {number}"] = [Trial(output, ("one",), (0.0,), (point,)), alone(output, "one")]
    return trials


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory, make_tokenizer: Callable[[str], bytes]) -> Path:
    """A working directory in which every input of every stage is there."""
    directory = tmp_path_factory.mktemp("interruptions")
    write_inputs(directory, make_tokenizer("qwen2"))
    write_foreign_data(directory)
    for command in ONE_PROCESS:
        run(command, directory)
    (directory / "pool" / "manifest.json").rename(directory / "pool-manifest.json")
    shutil.copytree(directory / "pool", directory / "bare-pool")
    (directory / "pool-manifest.json").rename(directory / "pool" / "manifest.json")
    return directory


def write_foreign_data(directory: Path) -> None:
    """Write what the stages import that are not on the path: documents, packs, scores, and the weights of a trunk."""
    images = [{"image_base64": base64.b64encode(picture(colour)).decode()} for colour in COLOURS]
    documents = [
        {"texts": [None, f"text {number}"], "image_info": [image, None]} for number, image in enumerate(images)
    ]
    packed = [document | {"key": f"{number}", "uid": f"{number:032d}"} for number, document in enumerate(documents)]
    uids = [f"{number:032d}" for number in range(len(COLOURS))]
    files = {
        "web/0.jsonl": "".join(f"{json.dumps(document)}\n" for document in documents),
        "packs/0/a_packed.json": json.dumps({"data": packed[:4], "lengths": [9] * 4}, indent=2),
        "packs/0/b_packed.json": json.dumps({"data": packed[4:], "lengths": [9] * 4}, indent=2),
        "tables/0.csv": "uid,score\n" + "".join(f"{uid},0.5\n" for uid in uids[:4]),
        "tables/1.csv": "uid,score\n" + "".join(f"{uid},0.7\n" for uid in uids[4:]),
        "annotations.json": json.dumps([{"uid": uid, "value": 3} for uid in uids]),
    }
    for name, text in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text, encoding="utf-8")
    save_file(timm.create_model("test_resnet").state_dict(), directory / "trunk.safetensors")


Outcomes = dict[str, list[list[dict[str, Any]]]]
"""What became of the runs of one stage: by trial, for each of its steps, for each run of the step."""

MODULES = {
    False: ("oqvl_filter.run", "oqvl_pack.run", "oqvl_shards.run", "oqvl_eval.run"),
    True: (
        *("oqvl_model.run", "oqvl_model.initialization", "oqvl_model.trainee", "oqvl_train.run", "oqvl_eval.run"),
        *("oqvl_model.conversion.layouts", "oqvl_model.conversion.model_directory"),
    ),
}
"""What the stages that need torch, and those that do not, import."""


def run_trials(directory: Path, stages: dict[str, Stage], modules: tuple[str, ...]) -> dict[str, Outcomes]:
    """Run all trials of `stages` in one process that has imported `modules`; return the outcomes by stage."""
    names, races = [], []
    for stage_name, stage in stages.items():
        for trial_name, steps in trials_of(directory / "trials" / stage_name.replace(" ", "-")).items():
            for step in steps:
                if stage.prepared and not step.output.exists():
                    shutil.copytree(directory / f"bare-{stage.prepared}", step.output)
                names.append((stage_name, trial_name))
                races.append(step.jobs(stage))
    process = subprocess.run(
        [sys.executable, Path(__file__).with_name("interruptions.py"), *modules],
        cwd=directory,
        input=json.dumps(races),
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    outcomes: dict[str, Outcomes] = {}
    for (stage_name, trial_name), outcome in zip(names, json.loads(process.stdout), strict=True):
        outcomes.setdefault(stage_name, {}).setdefault(trial_name, []).append(outcome)
    return outcomes


@pytest.fixture(scope="module")
def outcomes_of(directory: Path) -> Callable[[str], Outcomes]:
    """A function from a stage's name to what became of its runs."""
    known: dict[str, Outcomes] = {}

    def find(stage_name: str) -> Outcomes:
        if stage_name not in known:
            needs_torch = STAGES[stage_name].needs_torch
            stages = {name: stage for name, stage in STAGES.items() if stage.needs_torch == needs_torch}
            known.update(run_trials(directory, stages, MODULES[needs_torch]))
        return known[stage_name]

    return find


def content(output: Path) -> dict[str, bytes]:
    """Return every file below `output` that does not tell the time."""
    files = (path for path in output.rglob("*") if path.is_file())
    return {
        path.relative_to(output).as_posix(): path.read_bytes()
        for path in files
        if path.name != "timings.jsonl" and "checkpoints" not in path.parts
    }


@pytest.mark.parametrize("stage_name", STAGES)
class TestEveryStage:
    @pytest.fixture
    def folder(self, stage_name: str, directory: Path) -> Path:
        return directory / "trials" / stage_name.replace(" ", "-")

    @pytest.fixture
    def outcomes(self, stage_name: str, outcomes_of: Callable[[str], Outcomes]) -> Outcomes:
        return outcomes_of(stage_name)

    @pytest.fixture
    def undisturbed(self, folder: Path, outcomes: Outcomes) -> dict[str, dict[str, bytes]]:
        """What the two configurations write when nothing disturbs them."""
        for name in ("one", "other"):
            assert outcomes[f"undisturbed {name}"][0][0]["code"] == 0, outcomes[f"undisturbed {name}"]
        found = {name: content(folder / f"undisturbed-{name}/out") for name in ("one", "other")}
        assert found["one"] != found["other"]
        return found

    @pytest.mark.parametrize("number", range(len(DELAYS)))
    def test_of_two_configurations_one_writes_and_the_other_is_refused(
        self,
        number: int,
        folder: Path,
        outcomes: Outcomes,
        undisturbed: dict[str, dict[str, bytes]],
    ) -> None:
        runs, *reruns = outcomes[f"race {number}"]
        codes = {name: outcome["code"] for name, outcome in zip(("one", "other"), runs, strict=True)}
        assert sorted(codes.values()) == [0, 3], runs
        winner, loser = sorted(codes, key=lambda name: codes[name])
        message = next(outcome["error"] for outcome in runs if outcome["code"])
        assert "is being written by" in message or "already holds" in message
        assert content(folder / f"race-{number}/out") == undisturbed[winner]
        assert {name: rerun[0]["code"] for name, rerun in zip(("one", "other"), reruns, strict=True)} == {
            winner: 0,
            loser: 3,
        }

    def test_equal_runs_write_once(
        self, folder: Path, outcomes: Outcomes, undisturbed: dict[str, dict[str, bytes]]
    ) -> None:
        runs, (rerun,) = outcomes["equal"]
        for outcome in runs:
            assert outcome["code"] == 0 or "is being written by" in outcome["error"], outcome
        assert any(outcome["code"] == 0 for outcome in runs)
        assert rerun["code"] == 0
        assert content(folder / "equal/out") == undisturbed["one"]

    @pytest.mark.parametrize("number", range(2))
    def test_a_dead_run_blocks_and_spoils_nothing(
        self,
        number: int,
        folder: Path,
        outcomes: Outcomes,
        undisturbed: dict[str, dict[str, bytes]],
    ) -> None:
        (_, survivor), (rerun,) = outcomes[f"equal killed {number}"]
        assert survivor["code"] == 0 or "is being written by" in survivor["error"], survivor
        assert rerun["code"] == 0, rerun
        assert content(folder / f"equal-killed-{number}/out") == undisturbed["one"]

    @pytest.mark.parametrize("number", range(len(POINTS)), ids=POINTS)
    def test_a_kill_costs_no_byte(
        self,
        number: int,
        folder: Path,
        outcomes: Outcomes,
        undisturbed: dict[str, dict[str, bytes]],
    ) -> None:
        (killed,), (rerun,) = outcomes[f"killed {number}"]
        assert killed["code"] == -9, killed
        assert rerun["code"] == 0, rerun
        assert content(folder / f"killed-{number}/out") == undisturbed["one"]
