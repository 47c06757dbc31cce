"""The command line `oqvl-model`: parse, call, print."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from oqvl_model.config import GenerateConfig, InitConfig, ShowConfig
from oqvl_shards.config import StageConfig
from oqvl_shards.errors import run_cli

app = typer.Typer(
    help="Build, inspect and ask Open-Qwen2VL models.",
    rich_markup_mode=None,
    add_completion=False,
    no_args_is_help=True,
)

ConfigFile = Annotated[Path | None, typer.Option("-c", "--config", help="TOML file with the fields below.")]
Overrides = Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Fields, over the file's.")]
Json = Annotated[bool, typer.Option("--json", help="Print the report as JSON.")]


def _help(summary: str, config: type[StageConfig]) -> str:
    return f"{summary}\n\n\b\n{config.describe_fields()}"


def _run(command: Callable[[Any], Any], config: StageConfig, *, as_json: bool) -> None:
    report = command(config)
    print(report.model_dump_json(indent=2) if as_json else report.table())


@app.command(help=_help("Build a model directory.", InitConfig))
def init(overrides: Overrides = None, config: ConfigFile = None, json: Json = False) -> None:
    """Build a model directory."""
    from oqvl_model import run

    _run(run.init, InitConfig.from_command_line(config, overrides or ()), as_json=json)


@app.command(help=_help("Count a model's parameters and operations.", ShowConfig))
def show(overrides: Overrides = None, config: ConfigFile = None, json: Json = False) -> None:
    """Count a model's parameters and operations."""
    from oqvl_model import run

    _run(run.show, ShowConfig.from_command_line(config, overrides or ()), as_json=json)


@app.command(help=_help("Answer one prompt about image files.", GenerateConfig))
def generate(overrides: Overrides = None, config: ConfigFile = None, json: Json = False) -> None:
    """Answer one prompt about image files."""
    from oqvl_model import run

    _run(run.generate, GenerateConfig.from_command_line(config, overrides or ()), as_json=json)


def main() -> None:
    """Run the command line."""
    run_cli(app)
