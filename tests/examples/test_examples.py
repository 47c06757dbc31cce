"""The examples do what they say: the commands of each docstring run, and leave what the text promises."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from custom_scorer import ColourfulnessScorer, colourfulness
from oqvl_filter.pool import pool_samples
from oqvl_shards import ShardReader, TarWriter, open_dataset
from oqvl_shards.tar.sample import RejectReason
from oqvl_train.metrics import read_metrics
from packing_loop import CAPACITY, IGNORE_INDEX, Model, as_sequence, documents
from tiny_pool import NUM_PER_COLOUR

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def commands(example: str) -> str:
    """Return the indented lines of the example's docstring as one shell script."""
    docstring = ast.get_docstring(ast.parse((EXAMPLES / example).read_text())) or ""
    lines = [line for line in docstring.splitlines() if line.startswith("    ")]
    # `uv run` finds the environment that these tests run in already.
    return re.sub(r"\buv run (examples/)", r"python \1", "\n".join(lines)).replace("uv run ", "")


@pytest.fixture(scope="module")
def run_docstring(tmp_path_factory: pytest.TempPathFactory):
    """A function that runs an example's commands in a new directory and returns it with what they printed."""

    def run(example: str) -> tuple[Path, str]:
        directory = tmp_path_factory.mktemp(Path(example).stem)
        (directory / "examples").symlink_to(EXAMPLES)
        environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
        shell = ["bash", "-euo", "pipefail", "-c", commands(example)]
        result = subprocess.run(shell, cwd=directory, env=environment, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
        return directory, result.stdout

    return run


def test_the_readme_names_every_example():
    named = re.findall(r"^\| \[(\w+\.py)\]", (EXAMPLES / "README.md").read_text(), re.MULTILINE)
    assert named == sorted(path.name for path in EXAMPLES.glob("*.py"))
    assert all("uv run " in (EXAMPLES / name).read_text() for name in named)


def test_the_scorer_keeps_what_is_colourful(run_docstring):
    directory, _ = run_docstring("custom_scorer.py")
    account = open_dataset(directory / "scores").manifest.account
    assert (account.num_in, account.num_kept) == (6 * NUM_PER_COLOUR, 6 * NUM_PER_COLOUR)
    assert open_dataset(directory / "subset").manifest.account.num_kept == 3 * NUM_PER_COLOUR  # red, green, blue


def test_grey_is_not_colourful_and_two_colours_are_more_than_one():
    grey = Image.new("RGB", (8, 8), (90, 90, 90))
    red = Image.new("RGB", (8, 8), (255, 0, 0))
    red_and_blue = red.copy()
    red_and_blue.paste((0, 0, 255), (0, 0, 4, 8))
    assert colourfulness(grey, 8) == 0
    assert 0 < colourfulness(red, 8) < colourfulness(red_and_blue, 8)


def test_the_scorer_says_why_a_picture_has_no_score(tmp_path):
    with TarWriter(tmp_path / "00000.tar") as tar:
        tar.add("broken.png", b"no picture")
        tar.add("broken.txt", b"a caption")
    with ShardReader(tmp_path / "00000.tar") as reader:
        assert ColourfulnessScorer().score_shard(reader, pool_samples(reader, "pool")) == [RejectReason.IMAGE_BROKEN]


def test_the_trainee_learns_to_name_colours(run_docstring):
    directory, shown = run_docstring("custom_trainee.py")
    losses = [row.loss or 0.0 for row in read_metrics(directory / "run" / "metrics.jsonl")]
    # A model that knows every word but the colour has log(6) / 4 = 0.45 left per target: a, COLOUR, square, <|im_end|>.
    assert losses[0] > 2
    assert 0 < losses[-1] < 0.4
    assert "run (pretrain)" in shown
    assert json.loads((directory / "run" / "model" / "manifest.json").read_text())["details"]["stage"] == "pretrain"


def test_the_packed_loop_computes_fewer_positions_and_learns_as_much(run_docstring):
    _, printed = run_docstring("packing_loop.py")
    positions = {name: int(number) for name, number in re.findall(r"(\w+): (\d+) positions", printed)}
    losses = dict(re.findall(r"(\w+): .* to ([\d.]+) in", printed))
    assert positions["packed"] < 0.5 * positions["padded"]
    assert float(losses["packed"]) < 0.1
    num_sequences, bound = re.findall(r"(\d+) sequences; no packing has fewer than (\d+)", printed)[0]
    assert num_sequences == bound
    assert positions["packed"] == int(num_sequences) * CAPACITY


def test_documents_of_a_sequence_do_not_see_each_other():
    first, second, other = documents()[:3]
    model = Model()
    input_ids, positions, labels, owners = as_sequence([first, second])
    logits = model(input_ids, positions, owners)
    alone = model(*(as_sequence([second])[index] for index in (0, 1, 3)))
    assert np.allclose(logits[len(first) :].detach(), alone.detach(), atol=1e-5)
    changed = model(*(as_sequence([other[: len(first)], second])[index] for index in (0, 1, 3)))
    assert np.allclose(changed[-len(second) :].detach(), alone.detach(), atol=1e-5)
    assert labels[0] == labels[len(first)] == IGNORE_INDEX
