"""Tables of known answers: a test in `test_choice.py` that takes `known` runs once per line of `choice.txt`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest

_MARKS = {"⏎": "\n", "␍": "\r", "⇥": "\t"}


class Known(NamedTuple):
    """An output, and what must be read from it."""

    status: str
    answer: str
    output: str


def known_answers(table: Path) -> list[Known]:
    cases: list[Known] = []
    status = answer = ""
    for line in table.read_text(encoding="utf-8").split("\n")[3:]:
        if line.startswith("== "):
            status, _, answer = line[3:].partition(" ")
        elif line and not line.startswith("-- "):
            output = re.sub("[⏎␍⇥]", lambda mark: _MARKS[mark.group()], line)
            output = re.sub(r"\\u([0-9a-f]{4})", lambda code: chr(int(code.group(1), 16)), output)
            cases.append(Known(status, answer, output))
    return cases


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "known" in metafunc.fixturenames:
        module = metafunc.definition.path
        cases = known_answers(module.with_name(module.stem.removeprefix("test_") + ".txt"))
        metafunc.parametrize("known", cases, ids=[f"{case.status}-{case.output!r}" for case in cases])
