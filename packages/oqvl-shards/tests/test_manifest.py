import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from oqvl_shards.config import StageConfig
from oqvl_shards.errors import ManifestError
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


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[1]", "has schema version None, but this release reads 1"),
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


def test_the_published_schema_is_that_of_the_models() -> None:
    published = Path(__file__).parents[3] / "docs" / "schema" / "manifest.schema.json"
    assert json.loads(published.read_text(encoding="utf-8")) == Manifest.model_json_schema(), (
        "the manifest's models changed: oqvl-shards schema > docs/schema/manifest.schema.json"
    )
