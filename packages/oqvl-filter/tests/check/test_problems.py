from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from oqvl_filter import run
from oqvl_filter.check.problems import find_problems
from oqvl_filter.cli import app
from oqvl_filter.config import CheckConfig, ReshardConfig, ScoreConfig, SelectConfig
from oqvl_shards.dataset import Dataset, describe_file, open_dataset, write_manifest
from oqvl_shards.errors import DataError
from oqvl_shards.manifest import Account
from oqvl_shards.uid import UID_DTYPE


@pytest.fixture
def made(make_pool, pair, picture, plain_pairs, tmp_path: Path) -> Path:
    """Scores, a subset and shards of a small pool with a broken image."""
    pool = make_pool([plain_pairs(4), [*plain_pairs(2, start=9), pair("broken", picture()[:20], "x")]]).path
    run.score(ScoreConfig(pool=pool, output=tmp_path / "rules"))
    run.select(
        SelectConfig.from_values(
            {"pools": pool, "scores": {"r": tmp_path / "rules"}, "keep": "width > 20", "output": tmp_path / "subset"}
        )
    )
    run.reshard(ReshardConfig(pools=(pool,), subset=tmp_path / "subset", output=tmp_path / "kept", name="kept"))
    return tmp_path


def replace(dataset: Dataset, path: Path, **changes) -> Dataset:
    """Write the manifest again for a file that was changed together with it."""
    shards = tuple(
        describe_file(path, dataset.path, shard.num_samples) if dataset.shard_path(shard) == path else shard
        for shard in dataset.manifest.shards
    )
    return write_manifest(dataset.path, dataset.manifest.model_copy(update={"shards": shards, **changes}))


@pytest.mark.parametrize("name", ["rules", "subset", "kept"])
def test_what_a_stage_has_written_is_good(made: Path, name: str):
    report = run.check(CheckConfig(dataset=made / name))
    assert "good" in report.table()
    assert find_problems(open_dataset(made / name), num_workers=2) == ()


@pytest.mark.parametrize("name", ["rules", "subset", "kept"])
def test_a_changed_byte_is_exit_code_5(made: Path, name: str):
    path = open_dataset(made / name).shard_path(open_dataset(made / name).manifest.shards[0])
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="sha256"):
        run.check(CheckConfig(dataset=made / name))
    result = CliRunner().invoke(app, ["check", f"dataset={made / name}"])
    assert isinstance(result.exception, DataError)
    assert result.exception.exit_code == 5


def test_scores_must_agree_with_their_account(made: Path):
    dataset = open_dataset(made / "rules")
    path = made / "rules" / "00001.parquet"
    table = pq.read_table(path)
    reasons = pa.array(["no_image", None, "image_broken"])
    pq.write_table(table.set_column(table.column_names.index("reject"), "reject", reasons), path)
    assert find_problems(replace(dataset, path), 1) == (
        "the files hold 5 scored samples, the account 6",
        "the files hold 1 samples rejected as no_image, the account 0",
    )
    uids = pa.array(["short"] * 3)
    pq.write_table(table.set_column(0, "uid", uids), path)
    assert "not 32 hexadecimal digits" in find_problems(replace(dataset, path), 1)[0]
    widths = pa.array([1.5] * 3)
    pq.write_table(table.set_column(table.column_names.index("width"), "width", widths), path)
    assert find_problems(replace(dataset, path), 1) == ("00001.parquet: width is of type double, expected int32",)
    pq.write_table(table.drop_columns(["reject"]), path)
    assert "no column ['reject']" in find_problems(replace(dataset, path), 1)[0]


def test_a_subset_must_be_in_order(made: Path):
    dataset = open_dataset(made / "subset")
    path = made / "subset" / "subset.npy"
    uids = np.load(path)
    np.save(path, uids[::-1])
    assert find_problems(replace(dataset, path), 1) == ("subset.npy: the uids are not distinct and in ascending order",)
    np.save(path, np.zeros(0, UID_DTYPE))
    found = find_problems(replace(dataset, path), 1)
    assert [line.split(", expected")[0].split(", the account")[0] for line in found] == [
        "subset.npy: found 0 uids",
        "the files hold 0 uids",
    ]
    path.write_bytes(b"nothing")
    assert "not a readable .npy" in find_problems(replace(dataset, path), 1)[0]


def test_an_account_that_does_not_fit_its_shards_is_found(made: Path):
    dataset = open_dataset(made / "kept")
    account = Account(num_in=9, num_kept=9)
    found = write_manifest(dataset.path, dataset.manifest.model_copy(update={"account": account}))
    assert find_problems(found, 1) == (f"the shards hold {found.manifest.num_samples} samples, the account 9",)


def test_the_report_prints_as_json(made: Path):
    result = CliRunner().invoke(app, ["check", f"dataset={made / 'kept'}", "--json"])
    assert json.loads(result.stdout)["name"] == "kept"
