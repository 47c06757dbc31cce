"""The command line `oqvl-pack`."""

from __future__ import annotations

from oqvl_pack.config import CheckConfig, PackConfig, PlanConfig, ShowConfig
from oqvl_shards.command_line import add_stage, new_app
from oqvl_shards.errors import run_cli

app = new_app(
    "Pack image-text pairs, conversations and interleaved documents into training sequences of one length.", "oqvl-pack"
)
add_stage(
    app,
    "run",
    PackConfig,
    "oqvl_pack.run:pack_dataset",
    text="Pack datasets into training sequences.\n\nTokenise and pack one or more datasets, and write packed shards.",
)
add_stage(
    app,
    "plan",
    PlanConfig,
    "oqvl_pack.run:plan_dataset",
    text="Forecast a run without keeping anything.\n\nReport packs, bounds, disk space, time and GPU hours saved.",
)
add_stage(
    app,
    "show",
    ShowConfig,
    "oqvl_pack.run:show_pack",
    text="Draw one pack to a picture file.\n\nThe picture shows its documents, images and targets.",
)
add_stage(
    app,
    "check",
    CheckConfig,
    "oqvl_pack.run:check_dataset",
    text="Prove that a packed dataset matches its source.\n\nEvery sample is there once, unchanged, or accounted for.",
)


def main() -> None:
    """Run the command line."""
    run_cli(app)
