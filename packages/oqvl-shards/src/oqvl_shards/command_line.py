"""The form of every stage on a command line: `COMMAND [-c FILE] [KEY=VALUE]... [--json]`."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Protocol, TypeVar

import typer

from oqvl_shards.config import StageConfig

_Config = TypeVar("_Config", bound=StageConfig)

_ConfigFile = Annotated[Path | None, typer.Option("-c", "--config", help="recipe (TOML) with the fields below")]
_Overrides = Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="fields to override")]
AsJson = Annotated[bool, typer.Option("--json", help="print the report as JSON")]


class Report(Protocol):
    """The result of a stage."""

    def table(self) -> str:
        """Return the report as text."""
        ...

    def model_dump_json(self, *, indent: int) -> str:
        """Return the report as JSON."""
        ...


def new_app(summary: str, distribution: str = "") -> typer.Typer:
    """Return a command line without commands, which starts fast and prints plain text.

    Args:
        summary: One sentence that says what the command line is for.
        distribution: The package whose version `--version` prints; empty for a group of commands in another command
            line.
    """
    app = typer.Typer(help=summary, rich_markup_mode=None, add_completion=False, no_args_is_help=True)
    if not distribution:
        return app

    def print_version(wanted: bool) -> None:
        if wanted:
            typer.echo(f"{distribution} {version(distribution)}")
            raise typer.Exit

    @app.callback(help=summary)
    def take_options(
        # Annotations are read outside of this function, where `print_version` is not known.
        is_version: bool = typer.Option(
            False, "--version", callback=print_version, is_eager=True, help="print the version and exit"
        ),
    ) -> None:
        pass

    return app


def add_stage(
    app: typer.Typer,
    name: str,
    config: type[_Config],
    stage: str | Callable[[_Config], Report | None],
    *,
    text: str,
) -> None:
    """Make a stage a command of `app`, called as `NAME [-c FILE] [KEY=VALUE]... [--json]`.

    The stage's report is printed as text, or with `--json` as JSON. A stage that returns None prints nothing.

    Args:
        app: The command line.
        name: The command's name.
        config: The type of the stage's configuration. Its fields are listed after the help text.
        stage: The function from configuration to report, or its dotted path, e.g. `oqvl_filter.run:select`. A dotted
            path is imported when the command runs, so `--help` answers immediately.
        text: The command's help. The list of commands shows its first sentence.
    """

    def command(overrides: _Overrides = None, config_file: _ConfigFile = None, as_json: AsJson = False) -> None:
        settings = config.from_command_line(config_file, overrides or ())
        report = (_imported(stage) if isinstance(stage, str) else stage)(settings)
        if report is not None:
            print_report(report, as_json=as_json)

    app.command(name, help=text, epilog=config.help_text())(command)


def _imported(path: str) -> Callable[[Any], Report | None]:
    module, _, function = path.partition(":")
    return getattr(importlib.import_module(module), function)


def print_report(report: Report, *, as_json: bool) -> None:
    """Print a report on stdout, as text or as JSON."""
    typer.echo(report.model_dump_json(indent=2) if as_json else report.table())
