"""Imports end to end: foreign files become datasets that a rule can name."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from oqvl_filter import run
from oqvl_filter.config import (
    ImportAnnotationsConfig,
    ImportCsvConfig,
    ImportDatacompConfig,
    ImportMlmFilterConfig,
    ImportUidsConfig,
    SelectConfig,
)
from oqvl_filter.importers.importing import describe_files, import_jobs
from oqvl_shards import stage_output
from oqvl_shards.dataset import open_dataset
from oqvl_shards.errors import ConfigError, DataError
from oqvl_shards.uid import array_to_uids, uids_to_array


def selected(output: Path, **values) -> set[str]:
    run.select(SelectConfig.from_values({"output": output, **values}))
    return set(array_to_uids(np.load(output / "subset.npy")))


def test_metadata_is_selected_from_before_an_image_is_there(tmp_path: Path, uid_of):
    source = tmp_path / "metadata"
    source.mkdir()
    for shard in range(2):
        uids = [uid_of(10 * shard + n) for n in range(4)]
        scores = np.array([0.1, 0.2, 0.3, np.nan], np.float32) + np.float32(shard / 100)
        pq.write_table(pa.table({"uid": uids, "clip_l14_similarity_score": scores}), source / f"{shard}.parquet")
    config = ImportDatacompConfig(source=source, output=tmp_path / "dc", name="dc")
    report = run.import_scores(config)
    assert report.account.rejected == {"no_score": 2}
    kept = selected(tmp_path / "subset", scores={"dc": tmp_path / "dc"}, keep="clip_l14 in top(2)")
    assert kept == {uid_of(2), uid_of(12)}
    assert run.import_scores(config) == report
    assert str(tmp_path) not in (tmp_path / "dc" / "manifest.json").read_text()
    (source / "1.parquet").write_bytes((source / "0.parquet").read_bytes())
    with pytest.raises(ConfigError, match="already holds"):
        run.import_scores(config)


def test_a_killed_import_resumes_to_the_same_bytes(tmp_path: Path, uid_of, monkeypatch: pytest.MonkeyPatch):
    source = tmp_path / "csv"
    source.mkdir()
    for shard in range(3):
        (source / f"{shard}.csv").write_text(f"uid,score\n{uid_of(shard)},{shard}\nnobody,3\n")

    def contents(name: str) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}

    run.import_scores(ImportCsvConfig(source=source, output=tmp_path / "whole", name="n", num_workers=2))
    config = ImportCsvConfig(source=source, output=tmp_path / "killed", name="n")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(stage_output, "write_manifest", killed)
        run.import_scores(config)
    next((tmp_path / "killed").glob("*.parquet")).unlink()
    report = run.import_scores(config)
    assert report.account.rejected == {"bad_uid": 3}
    assert contents("killed") == contents("whole")


def test_answers_about_samples_without_uid_are_found_by_key(make_pool, pair, picture, tmp_path: Path):
    pool = make_pool([[pair(f"{s}{n}", picture((s, n, 9)), "x") for n in range(3)] for s in range(2)])
    source = tmp_path / "mlm"
    source.mkdir()
    for shard in range(2):
        keys, answers = [f"{shard}{n}" for n in range(3)], ["85", "84", "?"]
        pq.write_table(
            pa.table({"key": keys, "semantic_understanding_score": answers}), source / f"{shard:08d}_su.parquet"
        )
    report = run.import_scores(ImportMlmFilterConfig(source=source, output=tmp_path / "su", name="su", pool=pool.path))
    assert report.account.rejected == {"unparsable_score": 2}
    assert open_dataset(tmp_path / "su").manifest.lineage.parents == (pool.manifest.digest(),)
    kept = selected(tmp_path / "subset", pools=pool.path, scores={"mlm": tmp_path / "su"}, keep="su >= 85")
    assert len(kept) == 2


def test_annotations_of_several_types_are_refused(tmp_path: Path, uid_of):
    for index, value in enumerate((1, "one")):
        (tmp_path / f"{index}.json").write_text(json.dumps({uid_of(index): value}))
    config = ImportAnnotationsConfig(source=tmp_path, output=tmp_path / "out", name="n")
    with pytest.raises(DataError, match="the column value is of type string, in earlier files int64"):
        run.import_scores(config)


def test_columns_are_named_on_import(tmp_path: Path, uid_of):
    (tmp_path / "0.csv").write_text(f"id,a,b\n{uid_of(0)},1,x\n")
    config = ImportCsvConfig(source=tmp_path, output=tmp_path / "out", name="n", identity="id", columns={"a": "beauty"})
    report = run.import_scores(config)
    assert report.deciles == {"beauty": (1.0,) * 11}
    assert selected(tmp_path / "s", scores={"x": tmp_path / "out"}, keep="x == 1") == {uid_of(0)}


def test_an_identity_that_is_not_there_is_not_replaced_by_another(tmp_path: Path, uid_of):
    (tmp_path / "0.csv").write_text(f"uid,a\n{uid_of(0)},1\n")
    with pytest.raises(ConfigError, match=r"0\.csv: found no identity column 'id'"):
        run.import_scores(ImportCsvConfig(source=tmp_path, output=tmp_path / "out", name="n", identity="id"))
    with pytest.raises(ConfigError, match=r"absent is neither a file nor a folder"):
        run.import_scores(ImportCsvConfig(source=tmp_path / "absent", output=tmp_path / "out", name="n"))


def test_a_list_of_uids_becomes_a_subset(tmp_path: Path, uid_of):
    np.save(tmp_path / "dfn.npy", np.concatenate([uids_to_array([uid_of(n)]) for n in (4, 2, 4)]))
    config = ImportUidsConfig(source=tmp_path / "dfn.npy", output=tmp_path / "dfn", name="dfn")
    report = run.import_uids(config)
    assert report.account.rejected == {"duplicate_uid": 1}
    assert run.import_uids(config) == report
    assert selected(tmp_path / "s", keep=f"uid in '{tmp_path}/dfn'") == {uid_of(2), uid_of(4)}


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        ({"q": "uid"}, r"new names \['uid'\]"),
        ({"q": "reject"}, r"new names \['reject'\]"),
        ({"q": ""}, "empty or taken"),
        ({"q": "score", "r": "score"}, "more than once"),
    ],
)
def test_new_names_are_free_and_of_one_column_each(tmp_path: Path, columns: dict[str, str], problem: str):
    with pytest.raises(ConfigError, match=problem):
        ImportCsvConfig.from_values({"source": "a", "output": "b", "name": "c", "columns": columns})


def test_columns_that_are_called_like_ours_are_not_taken_for_them(tmp_path: Path, uid_of):
    path = tmp_path / "a.csv"
    path.write_text(f"id,uid,key,uid_derived,q\n{uid_of(1)},x,y,z,0.5\n")
    report = run.import_scores(ImportCsvConfig(source=path, output=tmp_path / "a", name="a", identity="id"))
    assert report.account.num_kept == 1
    manifest = open_dataset(tmp_path / "a").manifest
    assert manifest.details.kind == "scores" and manifest.details.columns == ("q",)
    (row,) = pq.read_table(tmp_path / "a" / "00000.parquet").to_pylist()
    assert row == {"uid": uid_of(1), "uid_derived": False, "key": None, "q": 0.5, "reject": None}


def test_metrics_of_a_shard_are_one_job_and_other_files_one_each(tmp_path: Path):
    for name in ("00000002_su", "00000010_itm", "00000010_su", "00000002_itm"):
        (tmp_path / f"{name}.parquet").write_bytes(b"")
    common = {"source": tmp_path, "output": tmp_path / "out", "name": "n"}
    jobs = import_jobs(ImportMlmFilterConfig(**common))
    assert [[path.stem for path in job.sources] for job in jobs] == [
        ["00000002_itm", "00000002_su"],
        ["00000010_itm", "00000010_su"],
    ]
    assert [job.file_name for job in jobs] == ["00000.parquet", "00001.parquet"]
    single = import_jobs(ImportDatacompConfig(**common))
    assert [len(job.sources) for job in single] == [1] * 4
    assert str(single[0]) == str(single[0].sources[0])
    names = [name for name, _ in describe_files(ImportDatacompConfig(**common), single)]
    assert names == [job.sources[0].name for job in single]
