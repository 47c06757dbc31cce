from __future__ import annotations

import json
from importlib.metadata import version

import pytest
from pydantic import Field
from typer.testing import CliRunner

from oqvl_shards.command_line import Report, add_stage, new_app
from oqvl_shards.config import Frozen, StageConfig
from oqvl_shards.errors import ConfigError


class CountConfig(StageConfig):
    count: int = Field(gt=0, description="how many, in samples")
    label: str = Field(default="x", description="a name")


class CountReport(Frozen):
    count: int

    def table(self) -> str:
        return f"counted {self.count}"


def count_all(config: CountConfig) -> Report | None:
    return CountReport(count=config.count) if config.label != "silent" else None


def count_in(config: CountConfig) -> Report:
    return CountReport(count=-config.count)


app = new_app("Count things.")
add_stage(app, "count-all", CountConfig, f"{__name__}:count_all", text="Count everything.\n\nOne after another.")
add_stage(app, "import", CountConfig, count_in, text="Count what comes in.")
add_stage(app, "absent", CountConfig, "no_such_module:stage", text="Never imported by --help.")


def call(*arguments: str):
    return CliRunner().invoke(app, arguments)


def test_fields_come_from_the_recipe_and_over_it_from_the_line(tmp_path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("count = 3\n")
    assert call("count-all", "-c", str(recipe)).output == "counted 3\n"
    assert call("count-all", "-c", str(recipe), "count=4").output == "counted 4\n"
    assert call("import", "count=5").output == "counted -5\n"


def test_the_report_is_text_json_or_nothing():
    assert json.loads(call("count-all", "count=2", "--json").output) == {"count": 2}
    assert call("count-all", "count=2", "label=silent", "--json").output == ""


def test_errors_leave_as_they_are():
    result = call("count-all", "count=0")
    assert isinstance(result.exception, ConfigError)
    assert "count: Input should be greater than 0" in result.exception.message


@pytest.mark.parametrize(
    "text", ["Count everything.", "One after another.", "count (required)", "how many, in samples"]
)
def test_help_says_what_it_does_and_which_fields_there_are(text):
    assert text in call("count-all", "--help").output


def test_the_module_of_a_stage_is_imported_when_it_runs():
    assert "Never imported" in call("absent", "--help").output
    assert isinstance(call("absent", "count=1").exception, ModuleNotFoundError)


def test_nothing_is_no_command():
    result = call()
    assert "Count things." in result.output
    assert "count-all" in result.output


def test_the_list_of_commands_shows_the_first_sentence_of_each():
    output = call("--help").output
    assert "Count everything." in output
    assert "One after another" not in output


def test_the_version_is_that_of_the_distribution():
    result = CliRunner().invoke(new_app("Count things.", "oqvl-shards"), ["--version"])
    assert (result.exit_code, result.output) == (0, f"oqvl-shards {version('oqvl-shards')}\n")


def test_an_unknown_option_is_a_usage_error():
    result = call("count-all", "--no-such-option")
    assert result.exit_code == 2
    assert "--no-such-option" in result.output
