from __future__ import annotations

import oqvl_filter


def test_the_public_names_are_these():
    assert oqvl_filter.__all__ == [
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
    ]
    assert all(getattr(oqvl_filter, name).__doc__ for name in oqvl_filter.__all__)
