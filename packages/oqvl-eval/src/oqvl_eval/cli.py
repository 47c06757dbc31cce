"""The command line `oqvl-eval`."""

from __future__ import annotations

from oqvl_eval.config import CompareConfig, EvalConfig, ImportConfig, ScoreConfig, ShowConfig
from oqvl_shards.command_line import add_stage, new_app
from oqvl_shards.errors import run_cli

app = new_app("Evaluate vision-language models: ask, score, compare.", "oqvl-eval")

add_stage(
    app,
    "run",
    EvalConfig,
    "oqvl_eval.run:evaluate",
    text="Ask a model every item of a benchmark.\n\n"
    "The raw answers are stored. Judge them with the command score, as often as you like.",
)
add_stage(
    app,
    "score",
    ScoreConfig,
    "oqvl_eval.run:score",
    text="Judge the answers of one run.\n\nPrints the accuracy, its intervals, and how the answers were read.",
)
add_stage(
    app,
    "compare",
    CompareConfig,
    "oqvl_eval.run:compare",
    text="Compare two runs on the same items.\n\nPrints the exact McNemar test and an interval of the difference.",
)
add_stage(
    app,
    "import",
    ImportConfig,
    "oqvl_eval.run:import_benchmark",
    text="Make a benchmark from local files.\n\n"
    "The source is a JSON Lines file with a folder of pictures, or the files of a published benchmark.",
)
add_stage(
    app,
    "show",
    ShowConfig,
    "oqvl_eval.run:show",
    text="Print items of a benchmark, or judged answers of a run.",
)


def main() -> None:
    """Run the command line."""
    run_cli(app)
