"""The command line `oqvl-eval`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Protocol

import typer

from oqvl_eval import run as stages
from oqvl_eval.config import CompareConfig, EvalConfig, ImportConfig, ScoreConfig, ShowConfig
from oqvl_shards.errors import run_cli

app = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=True)

ConfigFile = Annotated[Path | None, typer.Option("-c", "--config", help="TOML file with the fields below")]
Overrides = Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="fields, over the file's")]
AsJson = Annotated[bool, typer.Option("--json", help="print the report as JSON")]


class Report(Protocol):
    """What every stage returns."""

    def table(self) -> str:
        """Return the report as text."""
        ...

    def model_dump_json(self, *, indent: int) -> str:
        """Return the report as JSON."""
        ...


@app.callback()
def describe() -> None:
    """Evaluate vision-language models: ask, score, compare."""


@app.command(epilog=EvalConfig.describe_fields())
def run(overrides: Overrides = None, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Ask a model every item of a benchmark and store its raw answers."""
    _print(stages.evaluate(EvalConfig.from_command_line(config, overrides or [])), as_json)


@app.command(epilog=ScoreConfig.describe_fields())
def score(overrides: Overrides = None, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Judge the answers of one run: accuracy, intervals, how the answers were read."""
    _print(stages.score(ScoreConfig.from_command_line(config, overrides or [])), as_json)


@app.command(epilog=CompareConfig.describe_fields())
def compare(overrides: Overrides = None, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Compare two runs on the same items: exact McNemar test, interval of the difference."""
    _print(stages.compare(CompareConfig.from_command_line(config, overrides or [])), as_json)


@app.command("import", epilog=ImportConfig.describe_fields())
def import_(overrides: Overrides = None, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Make a benchmark of a JSON Lines file and a folder of pictures."""
    _print(stages.import_jsonl(ImportConfig.from_command_line(config, overrides or [])), as_json)


@app.command(epilog=ShowConfig.describe_fields())
def show(overrides: Overrides = None, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Print items of a benchmark, or answers of a run and how they were read."""
    _print(stages.show(ShowConfig.from_command_line(config, overrides or [])), as_json)


def main() -> None:
    """Run the command line."""
    run_cli(app)


def _print(report: Report, as_json: bool) -> None:
    typer.echo(report.model_dump_json(indent=2) if as_json else report.table())
