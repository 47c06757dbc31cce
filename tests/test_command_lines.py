"""What every command line of the workspace has in common: it starts at once and fails with the right exit code."""

from __future__ import annotations

import importlib
import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = sorted(path.name for path in ROOT.glob("packages/*"))
HEAVY = ["numba", "open_clip", "ray", "timm", "torch", "torchvision", "transformers", "webdataset"]


def module(script: str) -> str:
    """Return the module of a console script, e.g. `oqvl_pack.cli` of `oqvl-pack`."""
    return f"{script.replace('-', '_')}.cli"


def run_in_process(script: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> int | str | None:
    """Run a command line in this process and return its exit code."""
    monkeypatch.setattr(sys, "argv", [script, *arguments])
    with pytest.raises(SystemExit) as ending:
        importlib.import_module(module(script)).main()
    return ending.value.code


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_command_line_imports_nothing_heavy(script: str):
    code = f"import json, sys, {module(script)}; print(json.dumps([n for n in {HEAVY} if n in sys.modules]))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(result.stdout) == []


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_names_every_command(script: str, commands, start_up_seconds: dict[str, float]):
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    installed = Path(sys.executable).with_name(script)
    result = subprocess.run([installed, "--help"], capture_output=True, text=True, check=False)
    start_up_seconds[f"{script} --help"] = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
    assert result.returncode == 0, result.stderr
    assert [name for name in commands(script) if name not in result.stdout] == []


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_command_has_help(script: str, commands, monkeypatch, capsys):
    for name in commands(script):
        assert run_in_process(script, [name, "--help"], monkeypatch) == 0
        assert len(capsys.readouterr().out.splitlines()) > 5
