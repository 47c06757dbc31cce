"""Every recipe is one that its command takes: its first line names the command, its fields are the command's."""

from __future__ import annotations

import importlib
import re
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NOT_FOR_A_COMMAND = {"data.toml", "scale-ci.toml"}  # read by tools/quickstart.py
RECIPES = sorted(path.relative_to(ROOT) for path in ROOT.glob("recipes/**/*.toml"))
FIRST_LINE = re.compile(r"# (oqvl-[a-z]+) ([a-z][a-z -]*[a-z])")


@pytest.mark.parametrize("recipe", RECIPES, ids=str)
def test_its_command_knows_every_field(recipe: Path, monkeypatch, capsys):
    text = (ROOT / recipe).read_text()
    tomllib.loads(text)
    if recipe.name in NOT_FOR_A_COMMAND:
        return
    named = FIRST_LINE.match(text)
    assert named, "the first line must name the command: # oqvl-pack run"
    script, command = named[1], named[2].split()
    # A field that does not exist keeps the command from running; it must be the only one.
    monkeypatch.setattr(sys, "argv", [script, *command, "-c", str(ROOT / recipe), "no_such_field=1"])
    with pytest.raises(SystemExit) as ending:
        importlib.import_module(f"{script.replace('-', '_')}.cli").main()
    message = capsys.readouterr().err
    assert ending.value.code == 3, message
    assert "1 configuration error(s)\n  no_such_field: " in message, message
