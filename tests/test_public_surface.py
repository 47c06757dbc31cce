"""The public names of every package: to add, drop or rename one is a decision, so change this list on purpose."""

from __future__ import annotations

import importlib

import pytest

PUBLIC = {
    "oqvl_eval": [
        "Answerer",
        "Benchmark",
        "CompareConfig",
        "EvalConfig",
        "ImageRef",
        "Item",
        "ScoreConfig",
        "compare",
        "evaluate",
        "read_benchmark",
        "score",
        "write_benchmark",
    ],
    "oqvl_filter": [
        "ClipScorerConfig",
        "DedupConfig",
        "DedupReport",
        "DfnReport",
        "ReshardConfig",
        "ReshardReport",
        "RulesScorerConfig",
        "ScoreConfig",
        "ScoreReport",
        "Scorer",
        "SelectConfig",
        "SelectReport",
        "TrainDfnConfig",
    ],
    "oqvl_model": [
        "OqvlConfig",
        "OqvlForConditionalGeneration",
        "OqvlProcessor",
        "PackedTrainee",
        "TimmTowerConfig",
        "VlmAnswerer",
        "register",
    ],
    "oqvl_pack": [
        "Algorithm",
        "Imbalance",
        "LowerBounds",
        "Overlong",
        "PackConfig",
        "PackReport",
        "Pieces",
        "Plan",
        "PlanReport",
        "Span",
        "StreamingPacker",
        "balanced_order",
        "check_dataset",
        "imbalance",
        "pack",
        "pack_dataset",
        "plan_dataset",
    ],
    "oqvl_shards": [
        "Account",
        "Dataset",
        "Kind",
        "Lineage",
        "Manifest",
        "OqvlError",
        "Sample",
        "SampleError",
        "Shard",
        "ShardReader",
        "StageConfig",
        "TarWriter",
        "map_shards",
        "open_dataset",
        "write_manifest",
    ],
    "oqvl_train": [
        "Batch",
        "DataOrder",
        "Schedule",
        "TrainConfig",
        "TrainReport",
        "Trainee",
        "TrainingInterruptedError",
        "train",
    ],
}


@pytest.mark.parametrize("package", sorted(PUBLIC))
def test_public_names(package: str):
    module = importlib.import_module(package)
    assert list(module.__all__) == PUBLIC[package] == sorted(PUBLIC[package])
    assert [name for name in PUBLIC[package] if getattr(module, name, None) is None] == []
