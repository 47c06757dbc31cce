"""What the documentation says works: its code runs, its commands exist, its links lead somewhere.

On every page the Python blocks run one after another in one process, unless marked `<!-- not run: REASON -->`. Shell
blocks marked `<!-- run -->` run. In the others every `oqvl-*` command must exist, and so must the recipe that it names.
TOML and JSON blocks must parse.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from code_blocks import Block, blocks, marked_block

ROOT = Path(__file__).resolve().parent.parent
PATTERNS = ["*.md", ".github/**/*.md", "docs/**/*.md", "examples/**/*.md", "packages/**/*.md", "recipes/**/*.md"]
PAGES = sorted(path.relative_to(ROOT) for pattern in PATTERNS for path in ROOT.glob(pattern))
SHELL = {"bash", "console", "sh"}
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
NOT_RUN = "not run: "


def blocks_of(page: Path, *languages: str) -> list[Block]:
    return [block for block in blocks(ROOT / page) if block.language in languages]


def runs(block: Block) -> bool:
    return not block.mark.startswith(NOT_RUN)


PYTHON_PAGES = [page for page in PAGES if any(runs(block) for block in blocks_of(page, "python"))]
SHELL_BLOCKS = [block for page in PAGES for block in blocks_of(page, *SHELL)]


def place(block: Block) -> str:
    """Return where a block is, for people."""
    return f"{block.page.relative_to(ROOT)}:{block.line}"


def as_program(page: Path) -> str:
    """Return the Python blocks of a page as one program whose line numbers are the page's."""
    program = ""
    for block in filter(runs, blocks_of(page, "python")):
        program += "\n" * (block.line - 1 - program.count("\n")) + block.code
    return program


def command_lines(block: Block) -> list[list[str]]:
    """Return the words of every `oqvl-*` command in a shell block, continuation lines joined."""
    lines = block.code.replace("\\\n", " ").splitlines()
    words = [shlex.split(line.removeprefix("$ "), comments=True) for line in lines]
    words = [line[2:] if line[:2] == ["uv", "run"] else line for line in words]
    return [line for line in words if line and re.fullmatch(r"oqvl-[a-z]+", line[0])]


@pytest.mark.parametrize("page", PYTHON_PAGES, ids=str)
def test_python_blocks_run(page: Path, tmp_path: Path):
    program = tmp_path / f"{page.stem}.py"
    program.write_text(as_program(page))
    result = subprocess.run([sys.executable, program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"{page}:\n{result.stderr}"


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_python_blocks_compile(page: Path):
    for block in blocks_of(page, "python"):
        compile("\n" * (block.line - 1) + block.code, str(page), "exec")


@pytest.mark.parametrize("block", [block for block in SHELL_BLOCKS if block.mark == "run"], ids=place)
def test_marked_shell_blocks_run(block: Block, tmp_path: Path):
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    # `uv run` finds the environment that these tests run in already.
    command = ["bash", "-euo", "pipefail", "-c", block.code.replace("uv run ", "")]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"{place(block)}:\n{result.stderr}"


@pytest.mark.parametrize("block", [block for block in SHELL_BLOCKS if command_lines(block)], ids=place)
def test_commands_exist(block: Block, commands):
    for script, *arguments in command_lines(block):
        assert (ROOT / "packages" / script).is_dir(), f"{place(block)}: there is no {script}"
        if arguments and not arguments[0].startswith("-"):
            called = " ".join(itertools.takewhile(lambda word: re.fullmatch(r"[a-z][a-z-]*", word), arguments))
            known = any(called == name or called.startswith(f"{name} ") for name in commands(script))
            assert known, f"{place(block)}: {script} has no command {called}"
        # The quickstart's working directory holds a copy of recipes/quickstart/ as recipes/.
        recipes = [argument.removeprefix("recipes/") for argument in arguments if argument.startswith("recipes/")]
        folders = [ROOT / "recipes", ROOT / "recipes" / "quickstart"]
        missing = [recipe for recipe in recipes if not any((folder / recipe).exists() for folder in folders)]
        assert missing == [], f"{place(block)}: no such recipe"


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_data_blocks_parse(page: Path):
    for block in blocks_of(page, "toml"):
        tomllib.loads(block.code)
    for block in blocks_of(page, "json"):
        json.loads(block.code)


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_lead_somewhere(page: Path):
    text = re.sub(r"```.*?```", "", (ROOT / page).read_text(), flags=re.DOTALL)
    targets = [target.partition("#")[0] for target in LINK.findall(text) if "://" not in target]
    assert [target for target in targets if target and not (ROOT / page.parent / target).exists()] == []


def test_readme_has_what_the_gates_take_from_it():
    assert marked_block(ROOT / "README.md", "the test command").code.strip() == "uv run pytest -n auto"
    assert len(marked_block(ROOT / "README.md", "oqvl-pack in five lines").code.replace("\n\n", "\n").splitlines()) == 5
