from __future__ import annotations

from pathlib import Path

import pytest

from oqvl_filter.dfn.report import DfnReport
from oqvl_shards.config import StageConfig
from oqvl_shards.dataset import describe_file, write_manifest
from oqvl_shards.manifest import Account, CheckpointDetails, Lineage, Manifest


@pytest.mark.parametrize(
    ("statistics", "line"),
    [
        ({"num_held_out": 76, "held_out_auc": 0.8361}, "  held out  0.836 AUC, 76 pairs"),
        ({"num_held_out": 0}, "  held out  not measured, 0 pairs"),
    ],
)
def test_a_network_is_described_from_its_manifest(tmp_path: Path, statistics: dict, line: str):
    (tmp_path / "weights").write_bytes(b"w")
    manifest = Manifest(
        name="dfn",
        details=CheckpointDetails(architecture="open_clip.CustomTextCLIP", stage="dfn"),
        shards=(describe_file(tmp_path / "weights", tmp_path, 0),),
        account=Account(num_in=800, num_kept=760, rejected={"image_broken": 40}),
        statistics=statistics,
        lineage=Lineage.derive("oqvl-filter train-dfn", "0", StageConfig()),
    )
    table = DfnReport.of(write_manifest(tmp_path, manifest)).table()
    assert line in table.splitlines()
    assert f"  model     local-dir:{tmp_path}" in table
    assert "image_broken" in table
