"""The command line `oqvl-filter`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from oqvl_filter.config import (
    CalibrateConfig,
    CheckConfig,
    DedupConfig,
    EstimateConfig,
    ImportAnnotationsConfig,
    ImportCsvConfig,
    ImportDatacompConfig,
    ImportMlmFilterConfig,
    ImportPromptsConfig,
    ImportUidsConfig,
    ReportConfig,
    ReshardConfig,
    ScoreConfig,
    SelectConfig,
    ShowConfig,
    TrainDfnConfig,
)
from oqvl_shards.errors import run_cli

if TYPE_CHECKING:
    from oqvl_filter.report import CalibrateReport, CheckReport, EstimateReport, PageReport, PromptsReport, StageReport

app = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=True)

ConfigFile = Annotated[Path | None, typer.Option("-c", "--config", help="TOML file with the fields below")]
Overrides = Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="fields, over the file's")]
AsJson = Annotated[bool, typer.Option("--json", help="print the report as JSON")]


import_app = typer.Typer(rich_markup_mode=None, no_args_is_help=True)
app.add_typer(import_app, name="import", help="Bring other people's scores and lists of uids to datasets.")


@app.callback()
def describe() -> None:
    """Score, select and reshard image-text data."""


@app.command(epilog=ScoreConfig.help_text())
def score(overrides: Overrides = None, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Score every sample of a pool with one scorer."""
    from oqvl_filter import run

    _print(run.score(ScoreConfig.from_command_line(config, overrides or ())), as_json)


@app.command(epilog=SelectConfig.help_text())
def select(overrides: Overrides = None, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Select samples of a pool by their scores."""
    from oqvl_filter import run

    _print(run.select(SelectConfig.from_command_line(config, overrides or ())), as_json)


@app.command(epilog=DedupConfig.help_text())
def dedup(overrides: Overrides = None, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Find samples that are the same picture, or pictures of benchmarks among them."""
    from oqvl_filter import run

    _print(run.dedup(DedupConfig.from_command_line(config, overrides or ())), as_json)


@app.command(epilog=ReshardConfig.help_text())
def reshard(overrides: Overrides = None, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Copy the samples of a subset into new shards, byte for byte."""
    from oqvl_filter import run

    _print(run.reshard(ReshardConfig.from_command_line(config, overrides or ())), as_json)


@app.command("train-dfn", epilog=TrainDfnConfig.help_text())
def train_dfn(overrides: Overrides = None, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Train a data filtering network on clean pairs."""
    from oqvl_filter import run

    _print(run.train_dfn(TrainDfnConfig.from_command_line(config, overrides or ())), as_json)


@app.command(epilog=CheckConfig.help_text())
def check(overrides: Overrides = None, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Check what one of the commands has written: digests, content, and that the account closes."""
    from oqvl_filter import run

    _print(run.check(CheckConfig.from_command_line(config, overrides or ())), as_json)


@app.command(epilog=ShowConfig.help_text())
def show(overrides: Overrides = None, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Report on what one of the commands has written."""
    from oqvl_filter import run

    _print(run.show(ShowConfig.from_command_line(config, overrides or ())), as_json)


@app.command(epilog=ReportConfig.help_text())
def report(overrides: Overrides = None, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Show scores and a selection on one self-contained HTML page."""
    from oqvl_filter import run

    _print(run.report(ReportConfig.from_command_line(config, overrides or ())), as_json)


@import_app.command("datacomp", epilog=ImportDatacompConfig.help_text())
def import_datacomp(overrides: Overrides = None, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Import DataComp's metadata: parquet files, and .npz files of embeddings beside them."""
    from oqvl_filter import run

    _print(run.import_scores(ImportDatacompConfig.from_command_line(config, overrides or ())), as_json)


@import_app.command("mlm-filter", epilog=ImportMlmFilterConfig.help_text())
def import_mlm_filter(overrides: Overrides = None, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Import MLM-Filter's answers: parquet files SHARD_METRIC.parquet."""
    from oqvl_filter import run

    _print(run.import_scores(ImportMlmFilterConfig.from_command_line(config, overrides or ())), as_json)


@import_app.command("annotations", epilog=ImportAnnotationsConfig.help_text())
def import_annotations(overrides: Overrides = None, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Import annotations in JSON: arrays of objects, JSON lines, or objects by uid."""
    from oqvl_filter import run

    _print(run.import_scores(ImportAnnotationsConfig.from_command_line(config, overrides or ())), as_json)


@import_app.command("csv", epilog=ImportCsvConfig.help_text())
def import_csv(overrides: Overrides = None, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Import scores in CSV."""
    from oqvl_filter import run

    _print(run.import_scores(ImportCsvConfig.from_command_line(config, overrides or ())), as_json)


@import_app.command("uids", epilog=ImportUidsConfig.help_text())
def import_uids(overrides: Overrides = None, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Import a list of uids, .npy or text, as a subset."""
    from oqvl_filter import run

    _print(run.import_uids(ImportUidsConfig.from_command_line(config, overrides or ())), as_json)


@app.command("import-prompts", epilog=ImportPromptsConfig.help_text())
def import_prompts(overrides: Overrides = None, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Read the prompts of an MLM-Filter checkout into a prompt set."""
    from oqvl_filter import run

    _print(run.import_prompts(ImportPromptsConfig.from_command_line(config, overrides or ())), as_json)


@app.command(epilog=EstimateConfig.help_text())
def estimate(overrides: Overrides = None, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Predict time, cost and disk of scoring a pool from some of its samples."""
    from oqvl_filter import run

    _print(run.estimate(EstimateConfig.from_command_line(config, overrides or ())), as_json)


@app.command(epilog=CalibrateConfig.help_text())
def calibrate(overrides: Overrides = None, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Draw samples for people to judge, and read precision and recall by threshold off their labels."""
    from oqvl_filter import run

    _print(run.calibrate(CalibrateConfig.from_command_line(config, overrides or ())), as_json)


def main() -> None:
    """Run the command line."""
    run_cli(app)


def _print(
    report: StageReport | CheckReport | PageReport | PromptsReport | EstimateReport | CalibrateReport, as_json: bool
) -> None:
    typer.echo(report.model_dump_json(indent=2) if as_json else report.table())
