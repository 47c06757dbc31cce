"""The command line `oqvl-pack`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Protocol

import typer

from oqvl_pack.config import CheckConfig, PackConfig, PlanConfig, ShowConfig
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
    """Pack image-text pairs, conversations and interleaved documents into training sequences of one length."""


@app.command(epilog=PackConfig.help_text())
def run(overrides: Overrides = None, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Tokenise one or several datasets, pack them, write packed shards."""
    from oqvl_pack import run as stages

    _print(stages.pack_dataset(PackConfig.from_command_line(config, overrides or [])), as_json)


@app.command(epilog=PlanConfig.help_text())
def plan(overrides: Overrides = None, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Tokenise and pack, but write nothing: packs, lower bounds, disk, seconds, GPU hours saved."""
    from oqvl_pack import run as stages

    _print(stages.plan_dataset(PlanConfig.from_command_line(config, overrides or [])), as_json)


@app.command(epilog=ShowConfig.help_text())
def show(overrides: Overrides = None, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Draw one pack to a PNG file: documents, pictures, targets."""
    from oqvl_pack import run as stages

    _print(stages.show_pack(ShowConfig.from_command_line(config, overrides or [])), as_json)


@app.command(epilog=CheckConfig.help_text())
def check(overrides: Overrides = None, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Prove that a packed dataset holds every sample of its source once, unchanged, or accounts for it."""
    from oqvl_pack import run as stages

    _print(stages.check_dataset(CheckConfig.from_command_line(config, overrides or [])), as_json)


def main() -> None:
    """Run the command line."""
    run_cli(app)


def _print(report: Report, as_json: bool) -> None:
    typer.echo(report.model_dump_json(indent=2) if as_json else report.table())
