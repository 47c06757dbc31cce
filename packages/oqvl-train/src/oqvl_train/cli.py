"""The command line `oqvl-train`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from oqvl_shards.command_line import AsJson, Report, add_stage, new_app, print_report
from oqvl_shards.errors import run_cli
from oqvl_train.config import TrainConfig
from oqvl_train.errors import TrainingInterruptedError

app = new_app("Train a model on packed shards; resume exactly; run alone or under torchrun.", "oqvl-train")


def train_and_report_once(config: TrainConfig) -> Report | None:
    """Train, and return the report in the first process only."""
    from oqvl_train.run import train  # imports torch, which takes seconds that --help does not need

    # All processes stop together, and only the first one reports it.
    is_first = os.environ.get("RANK", "0") == "0"
    try:
        report = train(config)
    except TrainingInterruptedError as error:
        if is_first:
            raise
        raise SystemExit(error.exit_code) from error
    return report if is_first else None


add_stage(
    app,
    "run",
    TrainConfig,
    train_and_report_once,
    text="Train one stage, or resume it.\n\n"
    "If the stage is finished, print its report.\n\n"
    "On several GPUs: torchrun --nproc-per-node N -m oqvl_train.cli run -c recipe.toml",
)


@app.command()
def show(output: Annotated[Path, typer.Argument(help="output directory of a run")], as_json: AsJson = False) -> None:
    """Show the progress of a run."""
    from oqvl_train.report import TrainReport

    print_report(TrainReport.read(output), as_json=as_json)


def main() -> None:
    """Run the command line."""
    run_cli(app)


if __name__ == "__main__":
    main()
