from __future__ import annotations

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from oqvl_filter.cli import app

HEAVY = ["torch", "numba", "transformers", "open_clip", "timm", "webdataset", "ray"]


def test_the_command_line_imports_nothing_heavy():
    code = f"import sys, oqvl_filter.cli; print([name for name in {HEAVY} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "command",
    ["score", "select", "reshard", "page", "estimate", "calibrate", "train-dfn", "check", "dedup", "show"],
)
def test_help_lists_the_fields(command: str):
    result = CliRunner().invoke(app, [command, "--help"])
    assert result.exit_code == 0
    assert "(required)" in result.output


def test_score_select_and_reshard_in_a_row(make_pool, plain_pairs, tmp_path):
    pool = make_pool([plain_pairs(5)]).path
    rules, subset, kept = (tmp_path / name for name in ("rules", "subset", "kept"))
    recipe = tmp_path / "select.toml"
    recipe.write_text('keep = "caption_words >= 2"')
    for arguments in (
        ["score", f"pool={pool}", f"output={rules}"],
        ["select", "-c", str(recipe), f"pools={pool}", f"scores.rules={rules}", f"output={subset}"],
        ["reshard", f"pools=['{pool}']", f"subset={subset}", f"output={kept}", "name=kept"],
        ["show", f"dataset={kept}"],
    ):
        result = CliRunner().invoke(app, [*arguments, "--json"])
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["account"]["num_kept"] == 5
