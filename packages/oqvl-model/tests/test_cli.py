from __future__ import annotations

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

import oqvl_model
from oqvl_model.cli import app
from oqvl_model.report import GenerateReport

HEAVY = ("torch", "numba", "transformers", "open_clip", "webdataset", "ray", "timm")


def test_importing_the_command_line_is_cheap():
    code = f"import sys, oqvl_model.cli; print([name for name in {HEAVY} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_the_public_names_are_there():
    assert sorted(oqvl_model.__all__) == oqvl_model.__all__
    assert all(getattr(oqvl_model, name) for name in oqvl_model.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        oqvl_model.nothing  # noqa: B018


@pytest.mark.parametrize(
    ("command", "field"),
    [
        ("init", "vision.feature_stride"),
        ("convert", "text_directory"),
        ("show", "document_tokens"),
        ("generate", "images"),
    ],
)
def test_help_lists_every_field(command, field):
    result = CliRunner().invoke(app, [command, "--help"], terminal_width=300)
    assert result.exit_code == 0
    assert field in result.output


def test_commands_print_tables_and_json(checkpoint):
    table = CliRunner().invoke(app, ["show", f"checkpoint={checkpoint}"])
    assert "projector" in table.output
    as_json = CliRunner().invoke(app, ["show", f"checkpoint={checkpoint}", "--json"])
    assert json.loads(as_json.output)["visual_tokens_per_image"] == 4


@pytest.mark.parametrize(("answer", "said"), [(" ", "(empty answer)\n"), ("a cat", "")])
def test_an_empty_answer_is_said(answer, said, monkeypatch):
    monkeypatch.setattr("oqvl_model.run.generate", lambda config: GenerateReport(answer=answer))
    result = CliRunner().invoke(app, ["generate", "checkpoint=model", "prompt=hello"], catch_exceptions=False)
    assert (result.stdout, result.stderr) == (f"{answer}\n", said)
