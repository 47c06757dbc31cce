import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from oqvl_shards.config import StageConfig
from oqvl_shards.dataset import Dataset, describe_file, open_dataset, write_manifest
from oqvl_shards.errors import ConfigError, DataError, ManifestError
from oqvl_shards.manifest import (
    Account,
    ConversationDetails,
    ImageTextDetails,
    Kind,
    Lineage,
    Manifest,
    ScoresDetails,
    Shard,
    parse_manifest,
)
from oqvl_shards.natural_order import natural_key
from oqvl_shards.stage_output import finished_output

SHA = "0123456789abcdef" * 4


class Settings(StageConfig):
    seed: int = Field(default=0, description="seed")


def make_manifest(name: str = "pool", seed: int = 0, parents: tuple[Manifest, ...] = (), **changes: object) -> Manifest:
    values = {
        "name": name,
        "details": ImageTextDetails(),
        "shards": (),
        "account": Account(num_in=0, num_kept=0),
        "lineage": Lineage.derive("oqvl-x make", "1.0", Settings(seed=seed), parents),
    }
    return Manifest.model_validate(values | changes)


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.tar").write_bytes(b"abc")
    shard = describe_file(tmp_path / "sub" / "a.tar", tmp_path, 2)
    manifest = make_manifest(shards=(shard,), account=Account(num_in=3, num_kept=2, rejected={"no_text": 1}))
    return write_manifest(tmp_path, manifest)


def test_a_written_manifest_reads_back_equal(dataset: Dataset) -> None:
    opened = open_dataset(dataset.path)
    assert opened == dataset
    assert opened.manifest.num_samples == 2
    assert opened.manifest.num_bytes == 3
    assert opened.shard_path(opened.manifest.shards[0]) == dataset.path / "sub" / "a.tar"
    assert opened.manifest.digest() == dataset.manifest.digest()


def test_describe_file_hashes_what_is_there(dataset: Dataset) -> None:
    assert dataset.manifest.shards == (
        Shard(
            path="sub/a.tar",
            num_samples=2,
            num_bytes=3,
            sha256="ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",  # FIPS 180-2, appendix B.1
        ),
    )


def test_the_bytes_are_canonical(dataset: Dataset) -> None:
    text = (dataset.path / "manifest.json").read_text(encoding="utf-8")
    assert text == json.dumps(json.loads(text), sort_keys=True, indent=2, ensure_ascii=False) + "\n"
    assert str(dataset.path) not in text


@given(num_kept=st.integers(0, 5), rejected=st.dictionaries(st.sampled_from("abc"), st.integers(0, 5)))
def test_an_account_closes_or_is_refused(num_kept: int, rejected: dict[str, int]) -> None:
    num_in = num_kept + sum(rejected.values())
    assert Account(num_in=num_in, num_kept=num_kept, rejected=rejected).num_in == num_in
    for wrong in (num_in + 1, num_in - 1):
        with pytest.raises(ValidationError):
            Account(num_in=wrong, num_kept=num_kept, rejected=rejected)


def test_accounts_add_up() -> None:
    total = Account.total(
        [
            Account(num_in=3, num_kept=1, rejected={"z": 1, "b": 1}),
            Account(num_in=2, num_kept=0, rejected={"b": 2}),
        ]
    )
    assert total == Account(num_in=5, num_kept=1, rejected={"b": 3, "z": 1})
    assert list(total.rejected) == ["b", "z"]
    assert Account.total([]) == Account(num_in=0, num_kept=0)


@pytest.mark.parametrize("path", ["", "/a.tar", "../a.tar", "a/../../b", "a\\b", "a\0b", "a/.."])
def test_a_shard_stays_below_its_directory(path: str) -> None:
    with pytest.raises(ValidationError, match="must stay below"):
        Shard(path=path, num_samples=0, num_bytes=0, sha256=SHA)


def test_two_shards_of_one_path_are_refused() -> None:
    shard = Shard(path="a.tar", num_samples=0, num_bytes=0, sha256=SHA)
    with pytest.raises(ValidationError, match="two shards have the same path"):
        make_manifest(shards=(shard, shard))


def test_the_kind_is_that_of_the_details() -> None:
    scores = ScoresDetails(scorer="clip", fingerprint=SHA, columns=("similarity",))
    manifest = parse_manifest(make_manifest(details=scores).canonical_bytes().decode())
    assert manifest.kind is Kind.SCORES
    assert manifest.details == scores


def test_another_kind_than_asked_for_is_named(dataset: Dataset) -> None:
    assert open_dataset(dataset.path, Kind.CONVERSATION, Kind.IMAGE_TEXT) == dataset
    with pytest.raises(ManifestError, match=r"manifest\.json is of kind image_text, expected scores or packed"):
        open_dataset(dataset.path, Kind.SCORES, Kind.PACKED)


def test_a_missing_directory_and_a_missing_manifest_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="absent is no directory"):
        open_dataset(tmp_path / "absent")
    with pytest.raises(ManifestError, match=r"has no manifest\.json") as caught:
        open_dataset(tmp_path)
    assert "oqvl-shards import" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[1]", "has schema version None, this release reads 1"),
        ('{"schema_version": 2}', "has schema version 2"),
        ('{"schema_version": 0}', "has schema version 0"),
        ('{"schema_version": 1}', r"is malformed in \d+ place\(s\); the first: name: Field required"),
    ],
)
def test_a_malformed_manifest_is_named(text: str, message: str) -> None:
    with pytest.raises(ManifestError, match=f"here {message}"):
        parse_manifest(text, where="here")


def test_unknown_fields_are_refused() -> None:
    values = json.loads(make_manifest().canonical_bytes()) | {"created": "today"}
    with pytest.raises(ManifestError, match="created: Extra inputs"):
        parse_manifest(json.dumps(values))


def test_a_manifest_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_bytes(b"\xff\xfe")
    with pytest.raises(ManifestError, match="cannot be read"):
        open_dataset(tmp_path)


def test_no_manifest_is_written_before_its_shards_are_there(tmp_path: Path) -> None:
    shard = Shard(path="a.tar", num_samples=0, num_bytes=3, sha256=SHA)
    with pytest.raises(DataError, match=r"a\.tar: found no file, expected 3 bytes"):
        write_manifest(tmp_path, make_manifest(shards=(shard,)))
    (tmp_path / "a.tar").write_bytes(b"ab")
    with pytest.raises(DataError, match=r"a\.tar: found 2 bytes, expected 3 bytes"):
        write_manifest(tmp_path, make_manifest(shards=(shard,)))
    assert not (tmp_path / "manifest.json").exists()


def test_lineage_carries_all_ancestors_parents_first() -> None:
    raw = make_manifest("raw")
    left = make_manifest("left", parents=(raw,))
    right = make_manifest("right", seed=1, parents=(raw,))
    joined = make_manifest("joined", parents=(left, right))
    names = [ancestor.name for ancestor in joined.lineage.ancestors]
    assert names == ["raw", "left", "right"]
    assert joined.lineage.parents == (left.digest(), right.digest())
    assert joined.lineage.ancestors[1].parents == (raw.digest(),)
    assert joined.lineage.ancestors[0].digest == raw.digest()


def test_an_output_made_otherwise_is_told_by_the_keys_that_differ(dataset: Dataset) -> None:
    found = dataset.manifest.lineage
    nested = found.model_copy(update={"config": {"scorer": {"name": "clip", "limits": {"side": 3}}, "seed": 0}})
    write_manifest(dataset.path, dataset.manifest.model_copy(update={"lineage": nested}))
    wanted = found.model_copy(update={"config": {"scorer": {"name": "clip", "limits": {"side": 4}}, "more": 1}})
    with pytest.raises(ConfigError, match=r"with other values of more, scorer\.limits\.side, seed"):
        finished_output(dataset.path, wanted)


def test_the_digest_is_computed_once_and_never_that_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = make_manifest("raw")
    digest = raw.digest()
    monkeypatch.setattr(Manifest, "canonical_bytes", lambda self: self.name.encode())
    assert raw.digest() == digest
    assert raw == make_manifest("raw")
    for deep in (False, True):
        other = raw.model_copy(update={"name": "other"}, deep=deep)
        assert other.digest() == hashlib.sha256(b"other").hexdigest()
    assert parse_manifest(raw.model_dump_json()).model_dump() == raw.model_dump()


def test_the_digest_changes_with_everything_that_matters() -> None:
    raw = make_manifest("raw")
    variants = [
        raw,
        make_manifest("other"),
        make_manifest("raw", seed=1),
        make_manifest("raw", details=ConversationDetails()),
        make_manifest("raw", parents=(raw,)),
        make_manifest("raw", statistics={"a": 1}),
    ]
    assert len({manifest.digest() for manifest in variants}) == len(variants)
    assert make_manifest("raw").digest() == raw.digest()


def test_a_finished_output_is_known_by_its_lineage(dataset: Dataset) -> None:
    assert finished_output(dataset.path, dataset.manifest.lineage) == dataset
    assert finished_output(dataset.path / "elsewhere", dataset.manifest.lineage) is None
    other = Lineage.derive("oqvl-x make", "1.0", Settings(seed=1))
    with pytest.raises(ConfigError, match=r"output of oqvl-x make 1\.0, made with other values of seed"):
        finished_output(dataset.path, other)
    with pytest.raises(ConfigError, match=r"made by version 1\.0"):
        finished_output(dataset.path, Lineage.derive("oqvl-x make", "2.0", Settings()))


def test_an_output_begins_in_an_empty_directory_that_can_be_written(tmp_path: Path) -> None:
    step = Lineage.derive("oqvl-x make", "1.0", Settings())
    other = Lineage.derive("oqvl-x make", "1.0", Settings(seed=1))
    output = tmp_path / "deep" / "output"
    assert finished_output(output, step) is None
    with pytest.raises(ManifestError, match=r"what writes it was stopped before the end"):
        open_dataset(output)
    assert finished_output(output, other) is None  # nothing but its mark was there
    (output / "shard-0.tar").write_bytes(b"begun")
    assert finished_output(output, other) is None
    with pytest.raises(ConfigError, match=r"the unfinished output of oqvl-x make 1\.0, made with other values of seed"):
        finished_output(output, step)
    (output / "unfinished.json").write_text("{")
    with pytest.raises(ConfigError, match=r"unfinished\.json is damaged"):
        finished_output(output, other)


def test_files_of_others_are_never_overwritten(tmp_path: Path) -> None:
    step = Lineage.derive("oqvl-x make", "1.0", Settings())
    for name in ("shard-00000.tar", "notes.txt"):
        (tmp_path / name).write_bytes(b"mine")
    with pytest.raises(ConfigError, match=r"holds notes\.txt and 1 more, which this command has not written"):
        finished_output(tmp_path, step)
    assert finished_output(tmp_path, step, in_place=True) is None
    with pytest.raises(ConfigError, match=r"notes\.txt/inner cannot be written: Not a directory"):
        finished_output(tmp_path / "notes.txt" / "inner", step)
    with pytest.raises(ConfigError, match=r"notes\.txt cannot be written: File exists"):
        finished_output(tmp_path / "notes.txt", step)


def test_the_mark_of_an_unfinished_output_goes_with_the_manifest(dataset: Dataset) -> None:
    (dataset.path / "manifest.json").unlink()
    assert finished_output(dataset.path, dataset.manifest.lineage, in_place=True) is None
    assert (dataset.path / "unfinished.json").exists()
    write_manifest(dataset.path, dataset.manifest)
    assert not (dataset.path / "unfinished.json").exists()
    (dataset.path / "unfinished.json").write_text("left by a kill between the two")
    assert finished_output(dataset.path, dataset.manifest.lineage) == dataset
    assert not (dataset.path / "unfinished.json").exists()


def test_a_shard_that_shrank_is_told_from_a_whole_one(dataset: Dataset) -> None:
    shard = dataset.manifest.shards[0]
    path = dataset.whole_shard_path(shard)
    path.write_bytes(path.read_bytes()[:-1])
    assert dataset.shard_path(shard) == path
    with pytest.raises(
        DataError, match=rf"{path.name}: found {shard.num_bytes - 1:,} bytes, expected {shard.num_bytes:,} bytes"
    ):
        dataset.whole_shard_path(shard)
    path.unlink()
    with pytest.raises(DataError, match="found no file"):
        dataset.whole_shard_path(shard)


def test_natural_order_counts() -> None:
    names = ["shard-10.tar", "shard-2.tar", "shard-02.tar", "a/1.tar", "shard.tar"]
    assert sorted(names, key=natural_key) == ["a/1.tar", "shard-2.tar", "shard-02.tar", "shard-10.tar", "shard.tar"]


def test_the_published_schema_is_that_of_the_models() -> None:
    published = Path(__file__).parents[3] / "docs" / "schema" / "manifest.schema.json"
    assert json.loads(published.read_text(encoding="utf-8")) == Manifest.model_json_schema(), (
        "the manifest's models changed: oqvl-shards schema > docs/schema/manifest.schema.json"
    )
