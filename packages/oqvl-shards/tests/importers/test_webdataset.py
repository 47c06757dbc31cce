from pathlib import Path

import pytest

from oqvl_shards.dataset import describe_file
from oqvl_shards.errors import ConfigError, DataError
from oqvl_shards.importers.config import DamagedShards
from oqvl_shards.importers.webdataset import find_tars, settle_damage, survey_tar
from oqvl_shards.manifest import Account
from oqvl_shards.tar.index import TarDamage
from oqvl_shards.tar.writer import TarWriter


def write_tar(path: Path, members: list[tuple[str, bytes]]) -> Path:
    with TarWriter(path) as tar:
        for name, data in members:
            tar.add(name, data)
    return path


def test_tars_come_in_natural_order_with_gaps(tmp_path: Path) -> None:
    for name in ("10.tar", "9.tar", "00000002.tar", "more/1.tar", "2_stats.json", "2.parquet"):
        write_tar(tmp_path / name, [])
    names = [path.relative_to(tmp_path).as_posix() for path in find_tars(tmp_path)]
    assert names == ["00000002.tar", "9.tar", "10.tar", "more/1.tar"]


def test_a_folder_without_tars_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"holds no \.tar file"):
        find_tars(tmp_path)
    with pytest.raises(ConfigError, match=r"no directory at .*absent"):
        find_tars(tmp_path / "absent")


def test_a_survey_counts_samples_rejects_and_what_they_hold(tmp_path: Path) -> None:
    path = write_tar(
        tmp_path / "sub" / "0.tar",
        [
            ("a.jpg", b"1"),
            ("a.txt", b" four "),
            ("b.PNG", b"2"),
            ("b.json", b'{"caption": "six chars"}'),
            ("c.txt", b"text alone"),
            ("d.jpg", b"3"),
            ("e.0.jpg", b"4"),
            ("e.1.webp", b"5"),
            ("e.txt", b"  "),
            ("f.pkl", b"nothing that is read"),
            ("a.cls", b"comes back"),
        ],
    )
    survey = survey_tar(path, tmp_path)
    assert survey.shard == describe_file(path, tmp_path, 4)
    assert survey.damage is None
    assert survey.account == Account(num_in=6, num_kept=4, rejected={"duplicate_key": 1, "no_member": 1})
    assert survey.statistics == {
        "caption_characters": 9 + 10,
        "images_jpg": 2,
        "images_png": 1,
        "images_webp": 1,
        "unusable_empty_text": 1,
        "unusable_many_images": 1,
        "unusable_no_image": 1,
        "unusable_no_text": 1,
    }


def test_damage_stops_the_import_or_costs_the_shard(tmp_path: Path) -> None:
    members = [(f"{key}.{suffix}", b"x" * 600) for key in "ab" for suffix in ("jpg", "txt")]
    whole = write_tar(tmp_path / "0.tar", members)
    cut = write_tar(tmp_path / "1.tar", members)
    cut.write_bytes(cut.read_bytes()[:4000])
    surveys = [survey_tar(path, tmp_path) for path in (whole, cut)]
    assert surveys[1].damage is TarDamage.TRUNCATED_MEMBER

    with pytest.raises(DataError, match=r"1 of 2 shards are damaged: 1\.tar \(truncated_member\)") as caught:
        settle_damage(surveys, DamagedShards.FAIL)
    assert "damaged_shards=leave_out" in caught.value.hint
    used, account = settle_damage(surveys, DamagedShards.LEAVE_OUT)
    assert [survey.shard.path for survey in used] == ["0.tar"]
    assert account.num_kept == 2
    assert account.rejected == {"damaged_shard": surveys[1].account.num_in}

    used, account = settle_damage(surveys, DamagedShards.SALVAGE)
    assert [survey.shard.num_samples for survey in used] == [2, 1]
    assert account == Account(num_in=4, num_kept=3, rejected={"truncated_shard": 1})

    with pytest.raises(DataError, match="1 of 1 shards are damaged"):
        settle_damage(surveys[1:], DamagedShards.LEAVE_OUT)
