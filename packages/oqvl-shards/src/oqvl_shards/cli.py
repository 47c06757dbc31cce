"""The command line `oqvl-shards`: import foreign data, then show, verify and look at any dataset."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from oqvl_shards.atomic import atomic_open
from oqvl_shards.errors import run_cli
from oqvl_shards.importers.config import (
    ImportLlavaConfig,
    ImportObelicsConfig,
    ImportPackedJsonConfig,
    ImportWebdatasetConfig,
)
from oqvl_shards.manifest import Manifest, open_dataset
from oqvl_shards.report import DatasetReport, lineage_tree

app = typer.Typer(
    help="Import foreign data; show, verify, trace and look at datasets.",
    rich_markup_mode=None,
    add_completion=False,
    no_args_is_help=True,
)
import_app = typer.Typer(
    help="Make a dataset from foreign data.", rich_markup_mode=None, add_completion=False, no_args_is_help=True
)
app.add_typer(import_app, name="import")

DirectoryArgument = Annotated[Path, typer.Argument(help="the dataset's directory")]
ConfigOption = Annotated[Path | None, typer.Option("--config", "-c", help="TOML file with the fields below")]
OverridesArgument = Annotated[list[str] | None, typer.Argument(metavar="KEY=VALUE", help="fields of the configuration")]
JsonOption = Annotated[bool, typer.Option("--json", help="print JSON instead of a table")]


@import_app.command("webdataset", epilog=ImportWebdatasetConfig.help_text())
def import_webdataset(
    overrides: OverridesArgument = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Write the manifest of a folder of tars.

    It goes into the folder; the tars stay as they are.
    """
    from oqvl_shards import run

    _print_report(run.import_webdataset(ImportWebdatasetConfig.from_command_line(config, overrides or ())), as_json)


@import_app.command("llava", epilog=ImportLlavaConfig.help_text())
def import_llava(overrides: OverridesArgument = None, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Convert conversations in LLaVA's layout."""
    from oqvl_shards import run

    _print_report(run.import_llava(ImportLlavaConfig.from_command_line(config, overrides or ())), as_json)


@import_app.command("obelics", epilog=ImportObelicsConfig.help_text())
def import_obelics(
    overrides: OverridesArgument = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Convert interleaved OBELICS documents."""
    from oqvl_shards import run

    _print_report(run.import_obelics(ImportObelicsConfig.from_command_line(config, overrides or ())), as_json)


@import_app.command("packed-json", epilog=ImportPackedJsonConfig.help_text())
def import_packed_json(
    overrides: OverridesArgument = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Take Open-Qwen2VL's packed JSON apart into samples."""
    from oqvl_shards import run

    _print_report(run.import_packed_json(ImportPackedJsonConfig.from_command_line(config, overrides or ())), as_json)


@app.command()
def show(directory: DirectoryArgument, as_json: JsonOption = False) -> None:
    """Print what a dataset holds, from its manifest alone."""
    _print_report(DatasetReport.of(open_dataset(directory)), as_json)


@app.command()
def verify(
    directory: DirectoryArgument,
    num_workers: Annotated[int, typer.Option(min=1, help="processes that read shards")] = 1,
    as_json: JsonOption = False,
) -> None:
    """Check every shard against the manifest.

    Size, sha256, number of samples, damage; every problem is named, and the exit code is then 5.
    """
    from oqvl_shards.verify import verify as verify_dataset

    report = verify_dataset(open_dataset(directory), num_workers=num_workers)
    if as_json:
        typer.echo(report.model_dump_json(indent=2))
    elif report.is_good:
        counts = f"{report.num_shards:,} shards, {report.num_samples:,} samples, {report.num_bytes:,} bytes"
        typer.echo(f"{report.name}: {counts}: good")
    report.raise_if_failed()


@app.command()
def lineage(directory: DirectoryArgument, as_json: JsonOption = False) -> None:
    """Draw what a dataset was made from, as a tree."""
    manifest = open_dataset(directory).manifest
    if as_json:
        typer.echo(manifest.lineage.model_dump_json(indent=2))
    else:
        typer.echo(lineage_tree(manifest))


@app.command()
def head(
    directory: DirectoryArgument,
    output: Annotated[Path, typer.Option("--output", "-o", help="PNG file to write")],
    num_samples: Annotated[int, typer.Option("--num-samples", "-n", min=1, help="samples to draw")] = 12,
) -> None:
    """Draw the first samples on one picture."""
    from oqvl_shards.contact_sheet import SHEET_KINDS, draw_contact_sheet

    drawn = draw_contact_sheet(open_dataset(directory, *SHEET_KINDS), num_samples)
    with atomic_open(output) as file:
        drawn.save(file, format="PNG")
    typer.echo(f"wrote {output} ({drawn.width} x {drawn.height} pixels)")


@app.command()
def schema() -> None:
    """Print the JSON Schema of manifest.json."""
    typer.echo(json.dumps(Manifest.model_json_schema(), indent=2, sort_keys=True))


def main() -> None:
    """Run the command line."""
    run_cli(app)


def _print_report(report: DatasetReport, as_json: bool) -> None:
    typer.echo(report.model_dump_json(indent=2) if as_json else report.table())
