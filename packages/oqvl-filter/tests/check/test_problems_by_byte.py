"""One flipped byte in each kind of file that the filter writes, and files that agree with nothing but their digest."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from oqvl_filter import run
from oqvl_filter.check.problems import find_problems
from oqvl_filter.config import (
    CheckConfig,
    DedupConfig,
    ImportCsvConfig,
    ImportUidsConfig,
    ReshardConfig,
    ScoreConfig,
    SelectConfig,
)
from oqvl_shards.dataset import Dataset, describe_file, open_dataset, write_manifest
from oqvl_shards.errors import DataError, ManifestError
from oqvl_shards.uid import UID_DTYPE

KINDS = ["rules", "csv", "dedup", "subset", "uids", "kept"]


@pytest.fixture
def made(make_pool, plain_pairs, pair, picture, uid_of, tmp_path: Path) -> Path:
    """One dataset of every kind: scores of three sources, subsets of two, and shards."""
    pool = make_pool([plain_pairs(4), [*plain_pairs(3, start=9), pair("broken", picture()[:20], "x")]]).path
    run.score(ScoreConfig(pool=pool, output=tmp_path / "rules"))
    (tmp_path / "0.csv").write_text(f"uid,q\n{uid_of(0)},1\n{uid_of(1)},2\nnobody,3\n")
    run.import_scores(ImportCsvConfig(source=tmp_path / "0.csv", output=tmp_path / "csv", name="csv"))
    values = {"pools": [pool], "scores": {"r": tmp_path / "rules"}}
    run.dedup(DedupConfig.from_values({**values, "method": "exact", "output": tmp_path / "dedup"}))
    run.select(SelectConfig.from_values({**values, "keep": "width > 20", "output": tmp_path / "subset"}))
    (tmp_path / "list.txt").write_text(f"{uid_of(1)}\n{uid_of(0)}\n")
    run.import_uids(ImportUidsConfig(source=tmp_path / "list.txt", output=tmp_path / "uids", name="uids"))
    run.reshard(ReshardConfig(pools=(pool,), subset=tmp_path / "subset", output=tmp_path / "kept", name="kept"))
    return tmp_path


def redescribe(directory: Path, name: str) -> Dataset:
    """Write the manifest again, with the digest that a changed file now has."""
    dataset = open_dataset(directory)
    path = directory / name
    shards = tuple(
        describe_file(path, directory, shard.num_samples) if shard.path == name else shard
        for shard in dataset.manifest.shards
    )
    return write_manifest(directory, dataset.manifest.model_copy(update={"shards": shards}))


def first_file(directory: Path) -> Path:
    dataset = open_dataset(directory)
    return dataset.shard_path(dataset.manifest.shards[0])


def test_a_flipped_bit_anywhere_is_named_with_its_file(made: Path):
    for kind in KINDS:
        dataset = open_dataset(made / kind)
        assert find_problems(dataset, 1) == ()
        for shard in dataset.manifest.shards:
            path = dataset.shard_path(shard)
            whole = path.read_bytes()
            for place in (0, len(whole) // 3, len(whole) // 2, len(whole) - 1):
                content = bytearray(whole)
                content[place] ^= 1 << (place % 8)
                path.write_bytes(content)
                problems = find_problems(dataset, 1)
                assert any("sha256" in problem for problem in problems), (kind, place)
                assert {problem.partition(":")[0] for problem in problems} == {shard.path}
            path.write_bytes(whole)
        assert find_problems(dataset, 1) == ()


@pytest.mark.parametrize("change", ["cut", "grown", "missing", "empty"])
def test_a_file_of_another_size_is_named(made: Path, change: str):
    for kind in KINDS:
        path = first_file(made / kind)
        match change:
            case "cut":
                path.write_bytes(path.read_bytes()[:-1])
            case "grown":
                path.write_bytes(path.read_bytes() + b"\0")
            case "empty":
                path.write_bytes(b"")
            case "missing":
                path.unlink()
        problems = find_problems(open_dataset(made / kind), 1)
        assert {problem.partition(":")[0] for problem in problems} == {path.name}
        with pytest.raises(DataError, match=path.name) as error:
            run.check(CheckConfig(dataset=made / kind))
        assert error.value.exit_code == 5


def test_every_bad_file_is_named_in_order(made: Path):
    for kind in ("rules", "kept"):
        dataset = open_dataset(made / kind)
        names = [shard.path for shard in dataset.manifest.shards]
        for name in names:
            (made / kind / name).write_bytes(b"rubbish")
        problems = [problem.partition(":")[0] for problem in find_problems(dataset, 1)]
        assert list(dict.fromkeys(problems)) == names


def test_a_damaged_manifest_is_refused(made: Path):
    for kind in KINDS:
        path = made / kind / "manifest.json"
        whole = path.read_bytes()
        for place in (0.2, 0.5, 0.9):
            content = bytearray(whole)
            content[int(place * len(content))] ^= 0x80  # never ASCII, which is all that a manifest holds
            path.write_bytes(content)
            with pytest.raises(ManifestError):
                run.check(CheckConfig(dataset=made / kind))


@pytest.mark.parametrize("content", [b"nothing", b"", b"PAR1" + bytes(20) + b"PAR1"])
def test_what_is_no_table_is_named_though_its_digest_fits(made: Path, content: bytes):
    for kind in ("rules", "csv", "dedup"):
        name = first_file(made / kind).name
        (made / kind / name).write_bytes(content)
        problems = find_problems(redescribe(made / kind, name), 1)
        assert problems[0].startswith(f"{name}: damaged: not a parquet file: ")


@pytest.mark.parametrize(
    ("uids", "problem"),
    [
        (np.zeros(2, UID_DTYPE), "not distinct and in ascending order"),
        (np.array([(1, 0), (0, 1)], UID_DTYPE), "not distinct and in ascending order"),
        (np.array([(0, 2), (0, 1)], UID_DTYPE), "not distinct and in ascending order"),
        (np.arange(2), "expected 1-dimensional"),
        (np.zeros((1, 2), UID_DTYPE), "expected 1-dimensional"),
    ],
)
def test_uids_that_are_no_set_are_named_though_their_digest_fits(made: Path, uids: np.ndarray, problem: str):
    for kind in ("subset", "uids"):
        np.save(made / kind / "subset.npy", uids)
        problems = find_problems(redescribe(made / kind, "subset.npy"), 1)
        assert any(problem in line for line in problems)


def test_a_null_or_a_short_uid_is_named(made: Path):
    path = made / "csv" / "00000.parquet"
    table = pq.read_table(path)
    for uids in ([None, "0" * 32], ["0" * 31, "0" * 32], ["0" * 32, "z" * 32]):
        pq.write_table(table.set_column(0, "uid", pa.array(uids, pa.string())), path)
        (problem,) = find_problems(redescribe(made / "csv", path.name), 1)[:1]
        assert "32 hexadecimal digits" in problem


def test_counts_that_do_not_fit_the_account_are_named(made: Path):
    path = made / "kept" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["account"]["num_kept"] += 1
    manifest["account"]["rejected"]["not_selected"] -= 1
    path.write_text(json.dumps(manifest))
    (problem,) = find_problems(open_dataset(made / "kept"), 1)
    num_samples = open_dataset(made / "kept").manifest.num_samples
    assert problem == f"the shards hold {num_samples} samples, the account {num_samples + 1}"
