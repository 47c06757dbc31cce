"""The quickstart in its smallest size: killed at three points and run again, it ends like one that was left alone."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from oqvl_shards.check import check_shards
from oqvl_shards.dataset import open_dataset

ROOT = Path(__file__).resolve().parents[2]
HANG_SECONDS = 3600
"""Guards against hanging only: the smallest size takes a minute, on a busy machine several."""
DATASETS = (
    "benchmark clean pool conversations dfn scores/rules scores/dfn subset filtered model packed-pretrain packed-sft "
    "pretrain/model sft/model predictions/base predictions/sft predictions/sft-shuffled predictions/sft-free"
).split()


def start(directory: Path) -> subprocess.Popen[bytes]:
    log = (directory.parent / f"{directory.name}.log").open("ab")
    command = [sys.executable, "tools/quickstart.py", "--scale", "ci", "--directory", str(directory)]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def finish(directory: Path) -> None:
    code = start(directory).wait(HANG_SECONDS)
    assert code == 0, (directory.parent / f"{directory.name}.log").read_text()[-4000:]


def kill_when(directory: Path, pattern: str) -> None:
    """Run until a file that matches `pattern` appears, then kill the process without warning."""
    process = start(directory)
    deadline = time.monotonic() + HANG_SECONDS
    try:
        while not list(directory.glob(pattern)):
            log = (directory.parent / f"{directory.name}.log").read_text()[-4000:]
            assert process.poll() is None, f"it ended before {pattern} appeared:\n{log}"
            assert time.monotonic() < deadline, f"{pattern} did not appear"
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """One run that was left alone, and one that was killed while it scored, pre-trained and evaluated."""
    root = tmp_path_factory.mktemp("quickstart")
    finish(root / "alone")
    for pattern in ("scores/dfn/*.parquet", "pretrain/checkpoints/step-*", "predictions/sft/*.parquet"):
        kill_when(root / "killed", pattern)
    finish(root / "killed")
    return root / "alone", root / "killed"


def test_a_killed_run_ends_with_the_same_datasets_and_scores(runs: tuple[Path, Path]) -> None:
    alone, killed = runs
    digests = [{name: open_dataset(run / name).manifest.digest() for name in DATASETS} for run in runs]
    assert digests[0] == digests[1]
    for scores in sorted(alone.glob("predictions/*/scores/*.json")):
        assert scores.read_bytes() == (killed / scores.relative_to(alone)).read_bytes()
    for stage in ("pretrain", "sft"):
        assert (alone / stage / "metrics.jsonl").read_bytes() == (killed / stage / "metrics.jsonl").read_bytes()
    assert check_shards(open_dataset(killed / "sft/model")).is_good


def test_the_report_shows_every_figure_and_loads_nothing(runs: tuple[Path, Path]) -> None:
    page = (runs[0] / "report.html").read_text()
    for section in ("filter", "pack", "train", "evaluate", "lineage", "commands", "credit"):
        assert f'<section id="{section}">' in page
    assert page.count("<svg") == 4
    assert page.count('src="data:image/png;base64,') > 40
    # The names of XML namespaces aside, which nothing fetches, the page knows no address.
    assert not re.search(r'(?:src|href)="(?!data:|#)', page)
    assert not re.search(r"(?:url\(|@import)\s*['\"]?\s*(?:https?:|//)", page)
    assert "CC-BY 4.0" in page
    assert "This scale is for checks" in page
    # Where tables are wider than the window, they scroll.
    tables = re.findall(r'(?:<div class="scroll">)?<table(?: class="\w+")?>', page)
    assert all(table.startswith("<div") or "answers" in table for table in tables)


def test_lineage_runs_from_the_answers_to_the_raw_shards(runs: tuple[Path, Path]) -> None:
    manifest = open_dataset(runs[0] / "predictions/sft").manifest
    names = {ancestor.name for ancestor in manifest.lineage.ancestors}
    tools = {ancestor.tool for ancestor in manifest.lineage.ancestors}
    assert {"twemoji-pool", "twemoji-clean", "twemoji-filtered", "twemoji-names"} <= names
    assert {"oqvl-shards import webdataset", "oqvl-filter train-dfn", "oqvl-pack run", "oqvl-train run"} <= tools


def test_every_command_of_the_report_is_one_over_a_recipe_beside_it(runs: tuple[Path, Path]) -> None:
    page = (runs[0] / "report.html").read_text()
    recipes = re.findall(r"<code>oqvl-\w+ [\w -]+ -c (recipes/[\w.-]+)", page)
    assert len(recipes) == len(json.loads((runs[0] / "seconds.json").read_text()))
    assert all((runs[0] / recipe).exists() for recipe in recipes)
