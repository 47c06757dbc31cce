from __future__ import annotations

from pathlib import Path

import pytest

from oqvl_filter import run
from oqvl_filter.check.run import check
from oqvl_filter.config import CheckConfig, ScoreConfig
from oqvl_shards.errors import DataError, ManifestError


def test_every_problem_is_in_the_message(make_pool, plain_pairs, tmp_path: Path):
    pool = make_pool([plain_pairs(2), plain_pairs(2, start=2)]).path
    run.score(ScoreConfig(pool=pool, output=tmp_path / "rules"))
    (tmp_path / "rules" / "00000.parquet").unlink()
    path = tmp_path / "rules" / "00001.parquet"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError) as error:
        check(CheckConfig(dataset=tmp_path / "rules"))
    first, *problems = error.value.message.splitlines()
    assert first.endswith(f"has {len(problems)} problem(s)")
    assert {problem.split(":")[0].strip() for problem in problems} == {"00000.parquet", "00001.parquet"}
    assert error.value.hint == "delete the dataset and make it again"


def test_what_has_no_manifest_cannot_be_checked(tmp_path: Path):
    with pytest.raises(ManifestError):
        check(CheckConfig(dataset=tmp_path))
