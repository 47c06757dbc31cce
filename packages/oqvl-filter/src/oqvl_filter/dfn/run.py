"""The stage `train-dfn`."""

from __future__ import annotations

from oqvl_filter.dfn.config import TrainDfnConfig
from oqvl_filter.dfn.report import DfnReport
from oqvl_filter.dfn.training import (
    FrozenTrunk,
    assemble,
    digest_weights_file,
    fit_heads,
    measure,
    read_clean_pairs,
    write_network,
)
from oqvl_shards.dataset import describe_file, open_dataset
from oqvl_shards.errors import require_extra
from oqvl_shards.manifest import CheckpointDetails, Kind
from oqvl_shards.stage_output import stage_output


def train_dfn(config: TrainDfnConfig) -> DfnReport:
    """Train a data filtering network on clean pairs. The scorer `clip` loads it as `local-dir:DIRECTORY`.

    Raises:
        ManifestError: If the clean pairs are not a dataset of kind image_text.
        ConfigError: If the trunk's weights do not fit it, or if the output holds something else.
        MissingExtraError: If the extra `clip` is not installed.
        DataError: If a shard cannot be read, or fewer than two pairs are usable.
    """
    clean = open_dataset(config.clean, Kind.IMAGE_TEXT)
    pinned = {"trunk_digest": digest_weights_file(config.image_trunk_weights)}
    with stage_output(
        "oqvl-filter train-dfn", config.output, config, parents=[clean.manifest], pinned=pinned
    ) as output:
        if output.dataset is None:
            with require_extra("oqvl-filter", "clip"):
                trunk = FrozenTrunk(config)
            pairs = read_clean_pairs(clean, trunk, config)
            # Measured on heads that never saw the held-out pairs; the heads that are kept are fitted on all pairs.
            auc, num_held_out = measure(pairs, trunk, config)
            heads = fit_heads(pairs.features_NX, pairs.captions, trunk, config)
            files = write_network(assemble(heads, trunk, config), config)
            output.finish(
                name=config.name,
                details=CheckpointDetails(architecture="open_clip.CustomTextCLIP", stage="dfn"),
                shards=[describe_file(path, config.output, 0) for path in files],
                account=pairs.account,
                statistics={"num_held_out": num_held_out} | ({} if auc is None else {"held_out_auc": auc}),
            )
    return DfnReport.of(output.finished())
