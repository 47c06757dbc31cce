"""The command line `oqvl-eval`."""

from __future__ import annotations

from oqvl_eval.config import CompareConfig, EvalConfig, ImportConfig, ScoreConfig, ShowConfig
from oqvl_shards.command_line import Report, new_app, stage_command
from oqvl_shards.errors import run_cli

app = new_app("Evaluate vision-language models: ask, score, compare.", "oqvl-eval")


@stage_command(app, EvalConfig)
def run(config: EvalConfig) -> Report:
    """Ask a model every item of a benchmark.

    The raw answers are stored. Judge them with the command score, as often as you like.
    """
    from oqvl_eval.run import evaluate

    return evaluate(config)


@stage_command(app, ScoreConfig)
def score(config: ScoreConfig) -> Report:
    """Judge the answers of one run.

    Prints the accuracy, its intervals, and how the answers were read.
    """
    from oqvl_eval import run as stages

    return stages.score(config)


@stage_command(app, CompareConfig)
def compare(config: CompareConfig) -> Report:
    """Compare two runs on the same items.

    Prints the exact McNemar test and an interval of the difference.
    """
    from oqvl_eval import run as stages

    return stages.compare(config)


@stage_command(app, ImportConfig, name="import")
def import_(config: ImportConfig) -> Report:
    """Make a benchmark from local files.

    The source is a JSON Lines file with a folder of pictures, or the files of a published benchmark.
    """
    from oqvl_eval import run as stages

    return stages.import_benchmark(config)


@stage_command(app, ShowConfig)
def show(config: ShowConfig) -> Report:
    """Print items of a benchmark, or judged answers of a run."""
    from oqvl_eval import run as stages

    return stages.show(config)


def main() -> None:
    """Run the command line."""
    run_cli(app)
