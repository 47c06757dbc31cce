"""The files at the front door parse, and say what the gates do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
YAML_FILES = [
    "CITATION.cff",
    ".pre-commit-config.yaml",
    *sorted(str(path.relative_to(ROOT)) for path in ROOT.glob(".github/**/*.yml")),
]


@pytest.mark.parametrize("name", YAML_FILES)
def test_yaml_parses(name):
    assert isinstance(yaml.safe_load((ROOT / name).read_text()), dict)


def test_the_workflow_runs_the_gates_and_nothing_else():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    (job,) = workflow["jobs"].values()
    assert [step["run"] for step in job["steps"] if "run" in step] == [".ci/run"]
    assert job["env"] == {"UV_PYTHON": "${{ matrix.python }}"}


def test_the_workflow_covers_every_supported_python():
    (job,) = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"].values()
    lowest, above = re.findall(r'requires-python = ">=3\.(\d+),<3\.(\d+)"', (ROOT / "pyproject.toml").read_text())[0]
    assert job["strategy"]["matrix"]["python"] == [f"3.{minor}" for minor in range(int(lowest), int(above))]


def test_the_citation_names_the_paper():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["type"] == "software"
    assert citation["authors"] == [{"name": "OQVL contributors"}]
    assert citation["references"][0]["identifiers"][0]["value"] == "arXiv:2504.00595"


def test_every_gate_of_make_check_is_a_gate_of_ci():
    check = (ROOT / "Makefile").read_text().partition("check:")[2].partition("\n\n")[0]
    gates = re.findall(r"^\tuv run (.+)$", check, re.MULTILINE)
    ci = (ROOT / ".ci" / "run").read_text()
    assert len(gates) >= 6
    assert [gate for gate in gates if f"uv run {gate}" not in ci] == []
