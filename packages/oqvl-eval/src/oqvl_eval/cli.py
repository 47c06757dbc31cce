"""The command line `oqvl-eval`: parse, call, print."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Protocol

import typer

from oqvl_eval.config import CompareConfig, EvalConfig, ImportConfig, ScoreConfig, ShowConfig
from oqvl_shards.errors import run_cli

app = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=True)

ConfigFile = Annotated[Path | None, typer.Option("-c", "--config", help="TOML file with the fields below.")]
Overrides = Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Fields, over the file's.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the report as JSON.")]


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


@app.command(epilog=EvalConfig.help_text(), short_help="Ask a model every item of a benchmark.")
def run(overrides: Overrides = None, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Ask a model every item of a benchmark and store its raw answers."""
    from oqvl_eval.run import evaluate

    _print(evaluate(EvalConfig.from_command_line(config, overrides or ())), as_json)


@app.command(epilog=ScoreConfig.help_text(), short_help="Judge the answers of one run.")
def score(overrides: Overrides = None, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Judge the answers of one run: accuracy, intervals, and how the answers were read."""
    from oqvl_eval import run as stages

    _print(stages.score(ScoreConfig.from_command_line(config, overrides or ())), as_json)


@app.command(epilog=CompareConfig.help_text(), short_help="Compare two runs on the same items.")
def compare(overrides: Overrides = None, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Compare two runs on the same items: exact McNemar test, interval of the difference."""
    from oqvl_eval import run as stages

    _print(stages.compare(CompareConfig.from_command_line(config, overrides or ())), as_json)


@app.command("import", epilog=ImportConfig.help_text(), short_help="Make a benchmark of local files.")
def import_(overrides: Overrides = None, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Make a benchmark of local files: a JSON Lines file and a folder of pictures."""
    from oqvl_eval import run as stages

    _print(stages.import_benchmark(ImportConfig.from_command_line(config, overrides or ())), as_json)


@app.command(epilog=ShowConfig.help_text(), short_help="Print items, answers and how they were read.")
def show(overrides: Overrides = None, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Print items of a benchmark, or answers of a run and how they were read."""
    from oqvl_eval import run as stages

    _print(stages.show(ShowConfig.from_command_line(config, overrides or ())), as_json)


def main() -> None:
    """Run the command line."""
    run_cli(app)


def _print(report: Report, as_json: bool) -> None:
    typer.echo(report.model_dump_json(indent=2) if as_json else report.table())
