import json
from functools import partial
from pathlib import Path

import pytest

from oqvl_shards.config import MappedConfig
from oqvl_shards.errors import DataError
from oqvl_shards.importers.conversion import (
    LIMITS,
    ConvertedSample,
    check_image,
    convert_records,
    plan_jobs,
    require_samples,
)
from oqvl_shards.importers.json_records import find_records
from oqvl_shards.manifest import Account
from oqvl_shards.receipt import Receipt
from oqvl_shards.tar.reader import ShardReader
from oqvl_shards.tar.sample import RejectReason, SampleError

STEP = "0" * 64


def convert(data: bytes, *, calls: list[bytes] | None = None) -> ConvertedSample:
    if calls is not None:
        calls.append(data)
    if data == b"bad":
        raise SampleError(RejectReason.NO_TEXT)
    if data == b"crash":
        raise KeyboardInterrupt
    return ConvertedSample({"text": data.decode()}, [("png", b"image of " + data)])


def run(directory: Path, lines: bytes, *, records_per_shard: int = 2, step: str = STEP, **options) -> list[Receipt]:
    source = directory.parent / "records.jsonl"
    source.write_bytes(lines)
    return convert_records(
        plan_jobs([find_records(source)], records_per_shard),
        partial(convert, **options),
        directory=directory,
        step=step,
        max_record_bytes=20,
        workers=MappedConfig().workers,
        description="",
    )


def test_jobs_take_records_from_one_file_each(tmp_path: Path) -> None:
    for name, number in (("a", 3), ("b", 0), ("c", 1)):
        (tmp_path / name).write_bytes(b"0\n" * number)
    jobs = plan_jobs([find_records(tmp_path / name) for name in "abc"], 2)
    assert [(job.shard_path, job.first_key, len(job.records)) for job in jobs] == [
        ("shard-00000.tar", 0, 2),
        ("shard-00001.tar", 2, 1),
        ("shard-00002.tar", 3, 1),
    ]


def test_records_become_samples_and_every_one_is_accounted_for(tmp_path: Path) -> None:
    receipts = run(tmp_path / "out", b"one\nbad\nthree\n" + b"x" * 21)
    assert [receipt.account for receipt in receipts] == [
        Account(num_in=2, num_kept=1, rejected={"no_text": 1}),
        Account(num_in=2, num_kept=1, rejected={"json_too_large": 1}),
    ]
    assert [receipt.statistics for receipt in receipts] == [{"images_png": 1}] * 2
    with ShardReader(tmp_path / "out" / "shard-00001.tar") as reader:
        (sample,) = reader.samples
        assert sample.key == "000000002"
        assert [member.name for member in sample.members] == ["000000002.json", "000000002.0.png"]
        assert reader.json(sample) == {"text": "three"}
        assert reader.images(sample) == [("png", b"image of three")]


def test_a_killed_conversion_resumes_with_the_same_bytes(tmp_path: Path) -> None:
    lines = b"one\ntwo\nthree\nfour\nfive\n"
    expected = run(tmp_path / "whole", lines)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "killed", lines.replace(b"four", b"crash"))
    assert sorted(path.name for path in (tmp_path / "killed").iterdir()) == [
        "shard-00000.tar",
        "shard-00000.tar.receipt",
    ]
    calls: list[bytes] = []
    resumed = run(tmp_path / "killed", lines, calls=calls)
    assert [receipt.shard for receipt in resumed] == [receipt.shard for receipt in expected]
    assert calls == [b"three", b"four", b"five"]
    for receipt in expected:
        killed, whole = (tmp_path / name / receipt.shard.path for name in ("killed", "whole"))
        assert killed.read_bytes() == whole.read_bytes()


def test_another_step_does_not_take_over_shards(tmp_path: Path) -> None:
    run(tmp_path / "out", b"one\ntwo\nthree\n")
    calls: list[bytes] = []
    run(tmp_path / "out", b"one\ntwo\nthree\n", step="1" * 64, calls=calls)
    assert len(calls) == 3


def test_a_document_above_the_readers_limit_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oqvl_shards.importers.conversion.LIMITS", LIMITS.model_copy(update={"max_json_bytes": 14}))
    (receipt,) = run(tmp_path / "out", b"one\nthree\n")
    assert receipt.account.rejected == {"json_too_large": 1}
    assert len(json.dumps({"text": "one"}, separators=(",", ":"))) == 14


@pytest.mark.parametrize(("name", "expected"), [("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp")])
def test_the_type_of_an_image(images: dict[str, bytes], name: str, expected: str) -> None:
    assert check_image(images[name]) == expected


def test_images_that_no_reader_takes_are_rejected(images: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, reason in (("GIF", "image_broken"), ("tiny", "image_too_small")):
        with pytest.raises(SampleError) as caught:
            check_image(images[name])
        assert caught.value.reason == reason
    monkeypatch.setattr("oqvl_shards.importers.conversion.LIMITS", LIMITS.model_copy(update={"max_member_bytes": 9}))
    with pytest.raises(SampleError, match="member_too_large"):
        check_image(images["JPEG"])


def test_a_source_without_a_usable_record_is_an_error(tmp_path: Path) -> None:
    source, output = tmp_path / "source", tmp_path / "out"
    receipts = run(output, b"bad\nbad\n")
    with pytest.raises(DataError, match=r"source: none of 2 records could be imported \(no_text: 2\)"):
        require_samples(receipts, output, source)
    assert list(output.iterdir()) == []
    with pytest.raises(DataError, match=r"none of 0 records could be imported \(it is empty\)"):
        require_samples([], output, source)
    require_samples(run(tmp_path / "other", b"bad\none\n"), tmp_path / "other", source)
