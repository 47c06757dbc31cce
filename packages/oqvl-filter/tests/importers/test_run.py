"""Imports as stages: what comes in twice, what is done already, and what belongs to someone else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from oqvl_filter.config import ImportCsvConfig, ImportPicturesConfig, ImportUidsConfig
from oqvl_filter.importers import run as importers_run
from oqvl_filter.importers.run import import_pictures, import_scores
from oqvl_shards.dataset import open_dataset
from oqvl_shards.errors import ConfigError, DataError
from oqvl_shards.uid import array_to_uids, uids_to_array


def import_uids(source: Path, output: Path):
    return importers_run.import_uids(ImportUidsConfig(source=source, output=output, name="list"))


def test_repeated_uids_are_counted_and_kept_once(tmp_path: Path, uid_of):
    (tmp_path / "list.txt").write_text("\n".join([uid_of(1), uid_of(2).upper(), "", uid_of(1)]))
    report = import_uids(tmp_path / "list.txt", tmp_path / "subset")
    assert report.account.model_dump() == {"num_in": 3, "num_kept": 2, "rejected": {"duplicate_uid": 1}}
    assert set(array_to_uids(np.load(tmp_path / "subset" / "subset.npy"))) == {uid_of(1), uid_of(2)}
    assert report.rule == "the uids of list.txt"


def test_the_content_of_a_list_decides_and_not_its_place(tmp_path: Path, uid_of):
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "list.npy", uids_to_array([uid_of(1), uid_of(2)]))
    first = import_uids(tmp_path / "here" / "list.npy", tmp_path / "subset")
    assert import_uids(tmp_path / "there" / "list.npy", tmp_path / "subset") == first
    np.save(tmp_path / "here" / "list.npy", uids_to_array([uid_of(1)]))
    with pytest.raises(ConfigError, match=r"already holds the output .* other values of file"):
        import_uids(tmp_path / "here" / "list.npy", tmp_path / "subset")


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path, uid_of):
    (tmp_path / "scores.csv").write_text(f"uid,a\n{uid_of(0)},1\n")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"out holds notes\.txt, which this command did not write"):
        import_scores(ImportCsvConfig(source=tmp_path / "scores.csv", output=tmp_path / "out", name="n"))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["notes.txt"]


def test_an_import_that_failed_leaves_the_place_free(tmp_path: Path, uid_of):
    source = tmp_path / "scores.csv"
    source.write_text("uid,a,a\n")
    config = ImportCsvConfig(source=source, output=tmp_path / "out", name="n")
    with pytest.raises(DataError, match="several columns"):
        import_scores(config)
    source.write_text(f"uid,a\n{uid_of(0)},1\n")
    assert import_scores(config).account.num_kept == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["00000.parquet", "manifest.json"]


def test_a_finished_import_reads_no_table(tmp_path: Path, uid_of, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "scores.csv").write_text(f"uid,a\n{uid_of(0)},1\nbad,2\n{uid_of(2)},\n")
    config = ImportCsvConfig(source=tmp_path / "scores.csv", output=tmp_path / "out", name="n")
    first = import_scores(config)
    assert first.account.model_dump() == {"num_in": 3, "num_kept": 1, "rejected": {"bad_uid": 1, "no_score": 1}}
    monkeypatch.setattr("oqvl_filter.importers.run.import_file", None)
    assert import_scores(config) == first
    assert first.fingerprint == open_dataset(tmp_path / "out").manifest.lineage.config_digest


def test_every_picture_of_a_folder_is_accounted_for(tmp_path: Path, picture):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name, content in {
        "a.png": picture((1, 2, 3)),
        "b.png": picture((1, 2, 3)),
        "broken.jpg": b"\xff\xd8\xff not a picture",
        "text.webp": b"text",
        "c.png": picture((3, 2, 1)),
    }.items():
        (folder / name).write_bytes(content)
    report = import_pictures(ImportPicturesConfig(source=folder, output=tmp_path / "pool", name="eval"))
    account = report.account
    assert (account.num_in, account.num_kept) == (5, 2)
    assert account.rejected["repeated_picture"] == 1
    assert account.num_in == account.num_kept + sum(account.rejected.values())
