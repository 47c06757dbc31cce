"""Every command line of the workspace starts quickly and fails with the right exit code."""

from __future__ import annotations

import importlib
import json
import re
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from oqvl_shards.config import StageConfig
from oqvl_shards.dataset import write_manifest
from oqvl_shards.manifest import Account, InterleavedDetails, Lineage, Manifest

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


def takes_configuration(command: Any) -> bool:
    """Tell whether a command is called as `command [-c FILE] [key=value ...]`."""
    return any("-c" in parameter.opts for parameter in command.params)


def in_command(parameter: Any) -> list[str]:
    """Return a required parameter as words of a command that names a file which does not exist."""
    return ["missing"] if parameter.param_type_name == "argument" else [parameter.opts[0], "missing"]


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_command_line_imports_nothing_heavy(script: str):
    code = f"import json, sys, {module(script)}; print(json.dumps([n for n in {HEAVY} if n in sys.modules]))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(result.stdout) == []


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_answers(script: str, start_up_seconds: dict[str, float]):
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    installed = Path(sys.executable).with_name(script)
    result = subprocess.run([installed, "--help"], capture_output=True, text=True, check=False)
    start_up_seconds[f"{script} --help"] = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
    assert result.returncode == 0, result.stderr
    assert "Commands:" in result.stdout


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_command_has_help_with_its_fields(script: str, commands, monkeypatch, capsys):
    for name, command in commands(script).items():
        assert run_in_process(script, [*name.split(), "--help"], monkeypatch) == 0
        printed = capsys.readouterr().out
        assert "Usage:" in printed
        if takes_configuration(command):
            fields = re.findall(r"^    ([a-z_.0-9]+) \(.+\)$", printed, flags=re.MULTILINE)
            assert fields, f"{script} {name} --help does not list the fields of its configuration, one a line"


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_missing_input_is_exit_code_3_with_a_hint(script: str, commands, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name, command in commands(script).items():
        if takes_configuration(command):
            arguments = ["-c", "missing"]
        elif any(parameter.name != "help" for parameter in command.params):
            arguments = [word for parameter in command.params if parameter.required for word in in_command(parameter)]
        else:
            continue
        assert run_in_process(script, [*name.split(), *arguments], monkeypatch) == 3, f"{script} {name}"
        message = capsys.readouterr().err
        assert message.startswith("error: ")
        assert "missing" in message
        assert "\n  hint: " in message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("script", SCRIPTS)
def test_an_unknown_field_is_exit_code_3_and_is_named(script: str, commands, monkeypatch, capsys):
    for name, command in commands(script).items():
        if takes_configuration(command):
            assert run_in_process(script, [*name.split(), "no_such_field=1"], monkeypatch) == 3, f"{script} {name}"
            assert "no_such_field" in capsys.readouterr().err


WRONG_KIND = {
    ("oqvl-eval", "run"): ["benchmark=wrong", "checkpoint=wrong", "answerer=oqvl_model.answerer:VlmAnswerer"],
    ("oqvl-filter", "reshard"): ["pools=['wrong']", "subset=wrong", "name=n"],
    ("oqvl-filter", "score"): ["pool=wrong", "scorer.name=rules"],
    ("oqvl-filter", "select"): ["pools=wrong", "scores.a=wrong", "keep=a.width >= 1"],
    ("oqvl-pack", "run"): ["source=wrong", "tokenizer=missing", "template=caption"],
    ("oqvl-train", "run"): ["checkpoint=wrong", "packed=wrong", "trainee=oqvl_model.trainee:PackedTrainee"],
}


@pytest.mark.parametrize(("script", "command"), WRONG_KIND, ids=" ".join)
def test_a_dataset_of_the_wrong_kind_is_exit_code_3(script: str, command: str, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    lineage = Lineage.derive("test", "0", StageConfig())
    account = Account(num_in=0, num_kept=0)
    manifest = Manifest(name="wrong", details=InterleavedDetails(), shards=(), account=account, lineage=lineage)
    write_manifest("wrong", manifest)
    code = run_in_process(script, [command, *WRONG_KIND[script, command], "output=out"], monkeypatch)
    message = capsys.readouterr().err
    assert code == 3, message
    assert "interleaved, expected" in message
    assert [path.name for path in tmp_path.iterdir()] == ["wrong"]
