"""The command line: help is quick, configuration reaches the stages, errors end in their exit code."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from oqvl_pack.cli import app
from oqvl_shards.errors import ConfigError

HEAVY = ["torch", "numba", "transformers", "open_clip", "webdataset", "ray"]


def test_importing_it_imports_nothing_heavy() -> None:
    script = f"import sys, oqvl_pack.cli; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("command", ["run", "plan", "show", "check"])
def test_help_lists_every_field(command: str) -> None:
    text = CliRunner().invoke(app, [command, "--help"]).output
    assert "packed" in text


def test_run_plan_and_check(captions: Path, tokenizer_file: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        f'source = "{captions}"\noutput = "{tmp_path / "packed"}"\ntokenizer = "{tokenizer_file}"\nbin_capacity = 300\n'
    )
    runner = CliRunner()
    arguments = ["-c", str(recipe), "visual_tokens_per_image=9", "--json"]
    planned = json.loads(runner.invoke(app, ["plan", *arguments], catch_exceptions=False).output)
    written = json.loads(runner.invoke(app, ["run", *arguments], catch_exceptions=False).output)
    assert planned["num_packs"] == written["num_packs"]
    paths = [f"packed={tmp_path / 'packed'}", f"source={captions}", f"tokenizer={tokenizer_file}"]
    checked = runner.invoke(app, ["check", *paths], catch_exceptions=False)
    assert checked.exit_code == 0
    assert "each once" in checked.output
    shown = runner.invoke(app, ["show", paths[0], f"output={tmp_path / 'pack.png'}"], catch_exceptions=False)
    assert (tmp_path / "pack.png").read_bytes().startswith(b"\x89PNG")
    assert "documents" in shown.output


def test_unknown_field_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="colour"):
        CliRunner().invoke(app, ["run", "colour=red"], catch_exceptions=False)
