"""`oqvl-train run` and `oqvl-train show`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from oqvl_shards.errors import run_cli
from oqvl_train.config import TrainConfig
from oqvl_train.errors import TrainingInterruptedError
from oqvl_train.report import TrainReport

app = typer.Typer(
    help="Train a model on packed shards; resume exactly; run alone or under torchrun.",
    rich_markup_mode=None,
    add_completion=False,
    no_args_is_help=True,
)

ConfigFile = Annotated[Path | None, typer.Option("-c", "--config", help="recipe (TOML) with the fields below")]
Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="fields that replace the recipe's")
]
AsJson = Annotated[bool, typer.Option("--json", help="print the report as JSON")]


@app.command(epilog=TrainConfig.help_text())
def run(overrides: Overrides = None, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Train one stage, or resume it; a finished one returns at once.

    On several GPUs: torchrun --nproc-per-node N -m oqvl_train.cli run -c recipe.toml
    """
    train_config = TrainConfig.from_command_line(config, overrides or [])
    from oqvl_train.run import train  # torch: seconds, and --help needs none

    is_first = os.environ.get("RANK", "0") == "0"
    try:
        report = train(train_config)
    except TrainingInterruptedError as error:
        # All processes stop together; one of them says so.
        if is_first:
            raise
        raise SystemExit(error.exit_code) from error
    if is_first:
        _print(report, as_json)


@app.command()
def show(output: Annotated[Path, typer.Argument(help="output directory of a run")], as_json: AsJson = False) -> None:
    """Show where a run stands: steps, loss, speed, checkpoints."""
    _print(TrainReport.read(output), as_json)


def _print(report: TrainReport, as_json: bool) -> None:
    print(report.model_dump_json(indent=2) if as_json else report.table())


def main() -> None:
    """Run the command line."""
    run_cli(app)


if __name__ == "__main__":
    main()
