"""The paper's data, made small: its recipes select what the paper's rule says, from files in the published formats."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from oqvl_filter.cli import app
from oqvl_shards.dataset import open_dataset
from oqvl_shards.manifest import Manifest
from oqvl_shards.tar.reader import ShardReader
from oqvl_shards.uid import array_to_uids, uids_to_array

RECIPES = Path(__file__).resolve().parents[3] / "recipes" / "paper"

ANSWERS = ["85\nThe caption", "84", "100", "n/a", "20", "86", None, "3"]
"""What the model said about samples 0 to 7 of the DataComp pool."""


def run(*arguments: str) -> dict:
    """Run a step of the recipe in one process; return its report."""
    workers = [] if arguments[0] == "select" else ["num_workers=1"]
    result = CliRunner().invoke(app, [*arguments, *workers, "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture
def data(make_pool, pair, picture, plain_pairs, uid_of, tmp_path: Path, monkeypatch) -> Path:
    """DataComp-Medium with uids, CCS without, the answers of MLM-Filter, the DFN list."""
    pairs = plain_pairs(8)
    make_pool([pairs[:5], pairs[5:]], "datacomp-medium")
    # An image that DataComp has, too, one of which it keeps nothing, and one that cannot be read.
    copies = [pair("000000000", pairs[0].image, "a copy"), pair("000000001", pairs[7].image, "another")]
    own = [pair(f"00000000{n}", picture((200, n, n)), f"own {n}") for n in range(2, 5)]
    make_pool([[*copies, *own, pair("000000009", picture()[:20], "broken")]], "ccs")
    (tmp_path / "mlm-filter").mkdir()
    for shard, numbers in enumerate((range(5), range(5, 8))):
        table = pa.table(
            {
                "uid": [uid_of(n) for n in numbers],
                "text": [f"caption {n}" for n in numbers],
                "semantic_understanding_score": pa.array([ANSWERS[n] for n in numbers], pa.string()),
            }
        )
        pq.write_table(table, tmp_path / "mlm-filter" / f"{shard:08d}_semantic_understanding.parquet")
    np.save(tmp_path / "dfn-uids.npy", uids_to_array([uid_of(n) for n in (1, 2, 6, 400)]))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_paper_s_selection(data: Path, uid_of):
    for step in ("filter-score-datacomp", "filter-score-ccs"):
        run("score", "-c", f"{RECIPES}/{step}.toml")
    imported = run("import", "mlm-filter", "-c", f"{RECIPES}/filter-import-mlm.toml")
    assert imported["account"]["rejected"] == {"unparsable_score": 2}
    selected = run("select", "-c", f"{RECIPES}/filter-select.toml")
    kept = set(array_to_uids(np.load("subset/subset.npy")))
    # 0, 2, 5 by score, 1, 2, 6 by the list; of 0 and its copy one; three of CCS's own and the image that was left out.
    datacomp = {uid_of(n) for n in range(8)}
    assert {uid_of(n) for n in (1, 2, 5, 6)} <= kept
    assert kept & {uid_of(n) for n in (3, 4, 7)} == set()
    assert len(kept) == 9
    assert len(kept - datacomp) == 4 + (uid_of(0) not in kept)
    assert selected["account"]["num_in"] == 14
    assert selected["account"]["rejected"]["one per rules.content_sha"] == 1
    resharded = run("reshard", "-c", f"{RECIPES}/filter-reshard.toml")
    assert (resharded["account"]["num_kept"], resharded["num_missing"]) == (9, 0)
    check_output(data, open_dataset("filtered").manifest, kept)


def check_output(data: Path, manifest: Manifest, kept: set[str]) -> None:
    """The new shards hold what was kept under its uid, and the lineage names every source."""
    with ShardReader(data / "filtered" / "00000.tar") as reader:
        assert {sample.key for sample in reader.samples} == {f"{uid}-0" for uid in kept}
    tools = {ancestor.tool for ancestor in manifest.lineage.ancestors}
    assert tools == {"test", "oqvl-filter score", "oqvl-filter import mlm-filter", "oqvl-filter select"}
    config = open_dataset("subset").manifest.lineage.config
    assert config["config"]["keep"] == (
        'mlm.su >= 85 or uid in "dfn-uids.npy" or source == "ccs" then one per rules.content_sha'
    )
    assert [name for name, _ in config["subsets"]] == ["dfn-uids.npy"]
