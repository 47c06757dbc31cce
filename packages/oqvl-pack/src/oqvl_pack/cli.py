"""The command line `oqvl-pack`."""

from __future__ import annotations

from oqvl_pack.config import (
    CheckConfig,
    PackConfig,
    PlanConfig,
    ShowConfig,
)
from oqvl_shards.command_line import Report, new_app, stage_command
from oqvl_shards.errors import run_cli

app = new_app(
    "Pack image-text pairs, conversations and interleaved documents into training sequences of one length.", "oqvl-pack"
)


@stage_command(app, PackConfig)
def run(config: PackConfig) -> Report:
    """Pack datasets into training sequences.

    Tokenise one or several, pack them, write packed shards.
    """
    from oqvl_pack import run as stages

    return stages.pack_dataset(config)


@stage_command(app, PlanConfig)
def plan(config: PlanConfig) -> Report:
    """Forecast a run, and keep nothing.

    Packs, lower bounds, disk, seconds, GPU hours saved.
    """
    from oqvl_pack import run as stages

    return stages.plan_dataset(config)


@stage_command(app, ShowConfig)
def show(config: ShowConfig) -> Report:
    """Draw one pack to a picture file.

    Its documents, pictures and targets.
    """
    from oqvl_pack import run as stages

    return stages.show_pack(config)


@stage_command(app, CheckConfig)
def check(config: CheckConfig) -> Report:
    """Prove a packed dataset against its source.

    Every sample once, unchanged, or accounted for.
    """
    from oqvl_pack import run as stages

    return stages.check_dataset(config)


def main() -> None:
    """Run the command line."""
    run_cli(app)
