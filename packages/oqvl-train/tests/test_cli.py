from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from processes import MakeConfig

from oqvl_train import cli
from oqvl_train.config import TrainConfig
from oqvl_train.errors import TrainingInterruptedError
from oqvl_train.report import TrainReport


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["oqvl-train", *arguments])
    with pytest.raises(SystemExit) as exit_:
        cli.main()
    assert isinstance(exit_.value.code, int)
    return exit_.value.code


def overrides(config: TrainConfig) -> list[str]:
    return [f"{name}={value}" for name, value in config.model_dump(mode="json", exclude_defaults=True).items()]


def test_a_run_prints_its_report_and_show_prints_it_again(
    make_config: MakeConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = make_config(tmp_path / "run", num_epochs=1)
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("global_batch_size = 99\nprecision = 'fp32'\n")
    assert call(monkeypatch, "run", "-c", str(recipe), *overrides(config), "--json") == 0
    ran = json.loads(capsys.readouterr().out)
    assert (ran["is_finished"], ran["step"], ran["num_steps"]) == (True, 3, 3)
    assert call(monkeypatch, "show", str(tmp_path / "run"), "--json") == 0
    assert json.loads(capsys.readouterr().out) == ran
    assert call(monkeypatch, "show", str(tmp_path / "run")) == 0
    assert "steps        3 of 3" in capsys.readouterr().out


def test_only_the_first_process_prints(
    make_config: MakeConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = make_config(tmp_path / "run", num_epochs=1)
    assert call(monkeypatch, "run", *overrides(config)) == 0
    assert "3 of 3" in capsys.readouterr().out
    report = TrainReport.read(config.output)
    monkeypatch.setattr(
        "oqvl_train.run.train", lambda _: report
    )  # a single process of several would wait for the others
    monkeypatch.setenv("RANK", "1")
    assert call(monkeypatch, "run", *overrides(config)) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("rank", "says_so"), [("0", True), ("1", False)])
def test_a_stop_asks_to_be_tried_again(
    rank: str,
    says_so: bool,
    make_config: MakeConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def stop(config: TrainConfig) -> None:
        raise TrainingInterruptedError("stopped", hint="run the same command again to resume")

    monkeypatch.setattr("oqvl_train.run.train", stop)
    monkeypatch.setenv("RANK", rank)
    assert call(monkeypatch, "run", *overrides(make_config(tmp_path / "run"))) == 75
    assert ("run the same command again" in capsys.readouterr().err) == says_so


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["run", "seed=7"], 3, "checkpoint: is required but not set"),
        (["run", "-c", "missing.toml"], 3, "no configuration file at missing.toml"),
        (["show", "."], 3, "holds no training run"),
        (["run", "checkpoint=a", "packed=b", "output=c", "trainee=d:E"], 3, "error: a "),
    ],
)
def test_an_error_is_two_lines_and_a_code(
    arguments: list[str],
    code: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call(monkeypatch, *arguments) == code
    assert message in capsys.readouterr().err


def test_help_names_every_field(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(monkeypatch, "run", "--help") == 0
    text = capsys.readouterr().out
    assert all(f"  {name} (" in text for name in TrainConfig.model_fields)


def test_the_command_line_imports_nothing_heavy() -> None:
    heavy = {"torch", "numba", "transformers", "open_clip", "webdataset", "ray"}
    code = f"import sys, oqvl_train.cli; print(sorted({heavy} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
