"""The command line `oqvl-model`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Protocol

import typer

from oqvl_model.config import GenerateConfig, InitConfig, ShowConfig
from oqvl_shards.errors import run_cli

app = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=True)

ConfigFile = Annotated[Path | None, typer.Option("-c", "--config", help="TOML file with the fields below")]
Overrides = Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="fields, over the file's")]
AsJson = Annotated[bool, typer.Option("--json", help="print the report as JSON")]


class Report(Protocol):
    """What every command returns."""

    def table(self) -> str:
        """Return the report as text."""
        ...

    def model_dump_json(self, *, indent: int) -> str:
        """Return the report as JSON."""
        ...


@app.callback()
def describe() -> None:
    """Build, inspect and ask Open-Qwen2VL models."""


@app.command(epilog=InitConfig.help_text())
def init(overrides: Overrides = None, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Build a model directory from a tokenizer, a vision tower and a decoder, fresh or from local files."""
    from oqvl_model import run

    _print(run.init(InitConfig.from_command_line(config, overrides or [])), as_json)


@app.command(epilog=ShowConfig.help_text())
def show(overrides: Overrides = None, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Count a model's parameters, visual tokens and operations."""
    from oqvl_model import run

    _print(run.show(ShowConfig.from_command_line(config, overrides or [])), as_json)


@app.command(epilog=GenerateConfig.help_text())
def generate(overrides: Overrides = None, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Answer one prompt about image files."""
    from oqvl_model import run

    _print(run.generate(GenerateConfig.from_command_line(config, overrides or [])), as_json)


def main() -> None:
    """Run the command line."""
    run_cli(app)


def _print(report: Report, as_json: bool) -> None:
    typer.echo(report.model_dump_json(indent=2) if as_json else report.table())
