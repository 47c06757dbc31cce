"""The command line `oqvl-filter`."""

from __future__ import annotations

from oqvl_filter.config import (
    CalibrateConfig,
    CheckConfig,
    DedupConfig,
    EstimateConfig,
    ImportAnnotationsConfig,
    ImportCsvConfig,
    ImportDatacompConfig,
    ImportMlmFilterConfig,
    ImportPicturesConfig,
    ImportPromptsConfig,
    ImportUidsConfig,
    PageConfig,
    ReshardConfig,
    ScoreConfig,
    SelectConfig,
    ShowConfig,
    TrainDfnConfig,
)
from oqvl_shards.command_line import add_stage, new_app
from oqvl_shards.errors import run_cli

app = new_app("Score, select, deduplicate and reshard image-text data.", "oqvl-filter")
import_app = new_app("Make datasets from other people's scores, lists of uids, pictures and prompts.")
app.add_typer(import_app, name="import")

for name, config, stage, text in (
    ("score", ScoreConfig, "score", "Score every sample of a pool with one scorer."),
    ("select", SelectConfig, "select", "Select samples of a pool by their scores."),
    (
        "dedup",
        DedupConfig,
        "dedup",
        "Find copies, or pictures of benchmarks.\n\n"
        "Compares digests, perceptual hashes or embeddings. With against.LABEL it finds evaluation data instead.",
    ),
    (
        "reshard",
        ReshardConfig,
        "reshard",
        "Copy a subset into new shards.\n\nFiles are copied byte for byte and never re-encoded.",
    ),
    ("train-dfn", TrainDfnConfig, "train_dfn", "Train a data filtering network on clean pairs."),
    ("check", CheckConfig, "check", "Check a dataset of the filter.\n\nDigests, content, and that the account closes."),
    ("show", ShowConfig, "show", "Report on a dataset of the filter."),
    (
        "page",
        PageConfig,
        "page",
        "Show scores and a selection on one page.\n\n"
        "Self-contained HTML: histograms, agreement, pictures by decile, what two selections treat differently.",
    ),
    (
        "estimate",
        EstimateConfig,
        "estimate",
        "Predict what scoring a pool takes.\n\nTime, cost and disk, from a few of its samples.",
    ),
    (
        "calibrate",
        CalibrateConfig,
        "calibrate",
        "Find a threshold on judged samples.\n\n"
        "Draws samples for people to judge. Given their labels, shows precision and recall by threshold.",
    ),
):
    add_stage(app, name, config, f"oqvl_filter.run:{stage}", text=text)

for name, config, stage, text in (
    (
        "datacomp",
        ImportDatacompConfig,
        "import_scores",
        "Import DataComp's metadata.\n\nParquet files, and the .npz files of embeddings next to them.",
    ),
    (
        "mlm-filter",
        ImportMlmFilterConfig,
        "import_scores",
        "Import MLM-Filter's answers.\n\nParquet files named SHARD_METRIC.parquet.",
    ),
    (
        "annotations",
        ImportAnnotationsConfig,
        "import_scores",
        "Import annotations in JSON.\n\nArrays of objects, JSON lines, or objects by uid.",
    ),
    ("csv", ImportCsvConfig, "import_scores", "Import scores in CSV."),
    ("uids", ImportUidsConfig, "import_uids", "Import a list of uids as a subset.\n\nFrom .npy or text."),
    (
        "pictures",
        ImportPicturesConfig,
        "import_pictures",
        "Import evaluation pictures as a pool.\n\n"
        "From a benchmark or a folder, for scorers to read. `dedup against.LABEL` takes their scores.",
    ),
    (
        "prompts",
        ImportPromptsConfig,
        "import_prompts",
        "Import an MLM-Filter checkout's prompts.\n\nThey become a prompt set. Nothing of the checkout is run.",
    ),
):
    add_stage(import_app, name, config, f"oqvl_filter.run:{stage}", text=text)


def main() -> None:
    """Run the command line."""
    run_cli(app)
