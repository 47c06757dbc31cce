"""What the tests of the whole workspace share; start-up times, which no test judges, are shown at the end of a run."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import pytest
import typer.main

START_UP_SECONDS = pytest.StashKey[dict[str, float]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[START_UP_SECONDS] = {}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if seconds := config.stash[START_UP_SECONDS]:
        terminalreporter.section("CPU user seconds of --help")
        for command, value in sorted(seconds.items()):
            terminalreporter.line(f"{value:6.2f}  {command}")


@pytest.fixture
def start_up_seconds(pytestconfig: pytest.Config) -> dict[str, float]:
    """CPU user seconds of `--help`, by command line."""
    return pytestconfig.stash[START_UP_SECONDS]


@pytest.fixture(scope="session")
def commands() -> Callable[[str], dict[str, Any]]:
    """A function from a console script's name to its commands, by the words that call them (`import webdataset`)."""

    def leaves(command: Any, words: str) -> dict[str, Any]:
        children = getattr(command, "commands", None)
        if children is None:
            return {words: command}
        return {
            name: leaf
            for word, child in children.items()
            for name, leaf in leaves(child, f"{words} {word}".strip()).items()
        }

    def commands_of(script: str) -> dict[str, Any]:
        return leaves(typer.main.get_command(importlib.import_module(f"{script.replace('-', '_')}.cli").app), "")

    return commands_of
