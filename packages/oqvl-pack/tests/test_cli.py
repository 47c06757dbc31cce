"""The command line: help is quick, configuration reaches the stages, errors end in their exit code."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from oqvl_pack.cli import app, main
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


def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    """Run the command line with arguments that it refuses; return the exit code, and what it says."""
    monkeypatch.setattr(sys, "argv", ["oqvl-pack", *map(str, arguments)])
    with pytest.raises(SystemExit) as caught:
        main()
    printed = capsys.readouterr()
    assert printed.out == ""
    assert isinstance(caught.value.code, int)
    return caught.value.code, printed.err


def test_refusals_say_what_to_do(
    captions: Path,
    tokenizer_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output, absent = tmp_path / "packed", tmp_path / "absent"
    run = ["run", f"source={captions}", f"output={output}", f"tokenizer={tokenizer_file}"]
    mixture = f"mixture=[{{source='{captions}', num_tokens=10000000}}]"
    refusals = [
        (["run", f"output={output}", f"tokenizer={tokenizer_file}"], 3, "exactly one of source and mixture", ""),
        ([*run, "end_token=<image>"], 3, "end_token is '<image>', which image_token uses", ""),
        ([*run, "image_token=<picture>"], 3, "'<picture>' is not a special token", "special=true"),
        ([*run, "template=conversation"], 3, "is of kind image_text", "leave out template"),
        ([*run, "bin_capacity=40", "visual_tokens_per_image=16"], 5, "but a pack holds 40", "overlong=drop"),
        ([*run[:1], mixture, *run[2:]], 3, "num_tokens is 10,000,000", "no document is used twice"),
        ([*run[:1], f"source={absent}", *run[2:]], 3, "is not a directory", "oqvl-shards import"),
        ([*run[:3], f"tokenizer={absent}"], 3, "absent cannot be read", ""),
        (["plan", *run[1:], "tokens_per_second=-1"], 3, "greater than or equal to 0", ""),
        (["show", f"packed={captions}"], 3, "is of kind image_text, expected packed", "name a dataset of kind packed"),
        (["show", f"packed={captions}", "output=pack.gift"], 3, "not a picture format", ".png"),
        (
            ["check", f"packed={captions}", *run[1::2]],
            3,
            "is of kind image_text, expected packed",
            "it was made by test",
        ),
        (["run", "--nonsense"], 2, "No such option", ""),
        (["pack"], 2, "No such command 'pack'", ""),
    ]
    for arguments, exit_code, message, hint in refusals:
        code, said = refused(monkeypatch, capsys, *arguments)
        assert (code, message in said, hint in said) == (exit_code, True, True), said
        assert "Traceback" not in said
    assert not (output / "manifest.json").exists()
    assert not list(tmp_path.glob("*.png"))
