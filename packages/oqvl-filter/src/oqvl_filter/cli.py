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
    ReportConfig,
    ReshardConfig,
    ScoreConfig,
    SelectConfig,
    ShowConfig,
    TrainDfnConfig,
)
from oqvl_shards.command_line import Report, new_app, stage_command
from oqvl_shards.errors import run_cli

app = new_app("Score, select, deduplicate and reshard image-text data.", "oqvl-filter")
import_app = new_app("Bring other people's scores, lists of uids and pictures to datasets.")
app.add_typer(import_app, name="import")


@stage_command(app, ScoreConfig)
def score(config: ScoreConfig) -> Report:
    """Score every sample of a pool with one scorer."""
    from oqvl_filter import run

    return run.score(config)


@stage_command(app, SelectConfig)
def select(config: SelectConfig) -> Report:
    """Select samples of a pool by their scores."""
    from oqvl_filter import run

    return run.select(config)


@stage_command(app, DedupConfig)
def dedup(config: DedupConfig) -> Report:
    """Find copies, or pictures of benchmarks.

    Exact copies, near copies by perceptual hash or embedding; or, of evaluation data, decontamination.
    """
    from oqvl_filter import run

    return run.dedup(config)


@stage_command(app, ReshardConfig)
def reshard(config: ReshardConfig) -> Report:
    """Copy a subset into new shards.

    Byte for byte: nothing is encoded again.
    """
    from oqvl_filter import run

    return run.reshard(config)


@stage_command(app, TrainDfnConfig)
def train_dfn(config: TrainDfnConfig) -> Report:
    """Train a data filtering network on clean pairs."""
    from oqvl_filter import run

    return run.train_dfn(config)


@stage_command(app, CheckConfig)
def check(config: CheckConfig) -> Report:
    """Check what a command has written.

    Digests, content, and that the account closes.
    """
    from oqvl_filter import run

    return run.check(config)


@stage_command(app, ShowConfig)
def show(config: ShowConfig) -> Report:
    """Report on what a command has written."""
    from oqvl_filter import run

    return run.show(config)


@stage_command(app, ReportConfig)
def report(config: ReportConfig) -> Report:
    """Show scores and a selection on one page.

    Self-contained HTML: histograms, agreement, pictures by decile, what a selection flips.
    """
    from oqvl_filter import run

    return run.report(config)


@stage_command(import_app, ImportDatacompConfig, name="datacomp")
def import_datacomp(config: ImportDatacompConfig) -> Report:
    """Import DataComp's metadata.

    Parquet files, and .npz files of embeddings beside them.
    """
    from oqvl_filter import run

    return run.import_scores(config)


@stage_command(import_app, ImportMlmFilterConfig, name="mlm-filter")
def import_mlm_filter(config: ImportMlmFilterConfig) -> Report:
    """Import MLM-Filter's answers.

    Parquet files named SHARD_METRIC.parquet.
    """
    from oqvl_filter import run

    return run.import_scores(config)


@stage_command(import_app, ImportAnnotationsConfig, name="annotations")
def import_annotations(config: ImportAnnotationsConfig) -> Report:
    """Import annotations in JSON.

    Arrays of objects, JSON lines, or objects by uid.
    """
    from oqvl_filter import run

    return run.import_scores(config)


@stage_command(import_app, ImportCsvConfig, name="csv")
def import_csv(config: ImportCsvConfig) -> Report:
    """Import scores in CSV."""
    from oqvl_filter import run

    return run.import_scores(config)


@stage_command(import_app, ImportUidsConfig, name="uids")
def import_uids(config: ImportUidsConfig) -> Report:
    """Import a list of uids as a subset.

    From .npy or text.
    """
    from oqvl_filter import run

    return run.import_uids(config)


@stage_command(import_app, ImportPicturesConfig, name="pictures")
def import_pictures(config: ImportPicturesConfig) -> Report:
    """Import evaluation pictures as a pool.

    Of a benchmark or a folder, for scorers to read: `dedup against.LABEL` takes their scores.
    """
    from oqvl_filter import run

    return run.import_pictures(config)


@stage_command(app, ImportPromptsConfig)
def import_prompts(config: ImportPromptsConfig) -> Report:
    """Read an MLM-Filter checkout's prompts.

    They become a prompt set; nothing of the checkout is run.
    """
    from oqvl_filter import run

    return run.import_prompts(config)


@stage_command(app, EstimateConfig)
def estimate(config: EstimateConfig) -> Report:
    """Predict what scoring a pool takes.

    Time, cost and disk, from some of its samples.
    """
    from oqvl_filter import run

    return run.estimate(config)


@stage_command(app, CalibrateConfig)
def calibrate(config: CalibrateConfig) -> Report:
    """Find a threshold on judged samples.

    Draws samples for people to judge, and reads precision and recall by threshold off their labels.
    """
    from oqvl_filter import run

    return run.calibrate(config)


def main() -> None:
    """Run the command line."""
    run_cli(app)
