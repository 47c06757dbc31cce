"""The command line `oqvl-shards`: import foreign data; show, check, trace and look at any dataset."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from oqvl_shards.atomic import atomic_open
from oqvl_shards.command_line import AsJson, add_stage, new_app, print_report
from oqvl_shards.dataset import open_dataset
from oqvl_shards.errors import run_cli
from oqvl_shards.importers.config import (
    ImportLlavaConfig,
    ImportObelicsConfig,
    ImportPackedJsonConfig,
    ImportWebdatasetConfig,
)
from oqvl_shards.manifest import Manifest
from oqvl_shards.report import DatasetReport, lineage_tree

app = new_app("Import foreign data; show, check, trace and look at datasets.", "oqvl-shards")
_import_app = new_app("Make a dataset from foreign data.")
app.add_typer(_import_app, name="import")

_Directory = Annotated[Path, typer.Argument(help="the dataset's directory")]

add_stage(
    _import_app,
    "webdataset",
    ImportWebdatasetConfig,
    "oqvl_shards.run:import_webdataset",
    text="Write the manifest of a folder of tars.\n\nThe manifest goes into the folder. The tars are not changed.",
)
add_stage(
    _import_app,
    "llava",
    ImportLlavaConfig,
    "oqvl_shards.run:import_llava",
    text="Convert conversations in LLaVA's layout.",
)
add_stage(
    _import_app,
    "obelics",
    ImportObelicsConfig,
    "oqvl_shards.run:import_obelics",
    text="Convert interleaved OBELICS documents.",
)
add_stage(
    _import_app,
    "packed-json",
    ImportPackedJsonConfig,
    "oqvl_shards.run:import_packed_json",
    text="Split Open-Qwen2VL's packed JSON into the samples that were packed.",
)


@app.command()
def show(directory: _Directory, as_json: AsJson = False) -> None:
    """Print what a dataset holds. Only its manifest is read."""
    print_report(DatasetReport.of(open_dataset(directory)), as_json=as_json)


@app.command()
def check(
    directory: _Directory,
    num_workers: Annotated[int, typer.Option(min=1, help="number of processes that read shards")] = 1,
    as_json: AsJson = False,
) -> None:
    """Check every shard against the manifest.

    Checks sizes, sha256, numbers of samples, and damage. Names every problem, and exits with 5 if there is any.
    """
    from oqvl_shards.check import check_shards

    report = check_shards(open_dataset(directory), num_workers=num_workers)
    if as_json:
        typer.echo(report.model_dump_json(indent=2))
    elif report.is_good:
        counts = f"{report.num_shards:,} shards, {report.num_samples:,} samples, {report.num_bytes:,} bytes"
        typer.echo(f"{report.name}: {counts}: good")
    report.raise_if_failed()


@app.command()
def lineage(directory: _Directory, as_json: AsJson = False) -> None:
    """Draw what a dataset was made from, as a tree."""
    manifest = open_dataset(directory).manifest
    if as_json:
        typer.echo(manifest.lineage.model_dump_json(indent=2))
    else:
        typer.echo(lineage_tree(manifest))


@app.command()
def head(
    directory: _Directory,
    output: Annotated[Path, typer.Option("--output", "-o", help="PNG file to write")],
    num_samples: Annotated[int, typer.Option("--num-samples", "-n", min=1, help="number of samples to draw")] = 12,
) -> None:
    """Draw the first samples of a dataset on one picture."""
    from oqvl_shards.contact_sheet import SHEET_KINDS, draw_contact_sheet

    sheet = draw_contact_sheet(open_dataset(directory, *SHEET_KINDS), num_samples)
    with atomic_open(output) as file:
        sheet.save(file, format="PNG")
    typer.echo(f"wrote {output} ({sheet.width} x {sheet.height} pixels)")


@app.command()
def schema() -> None:
    """Print the JSON Schema of manifest.json."""
    typer.echo(json.dumps(Manifest.model_json_schema(), indent=2, sort_keys=True))


def main() -> None:
    """Run the command line."""
    run_cli(app)
