from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from oqvl_shards.config import StageConfig
from oqvl_shards.errors import ConfigError


class Inner(StageConfig):
    rate: float = Field(default=0.5, description="rate in 1/s")
    path: Path = Field(default=Path("somewhere"), description="where", json_schema_extra={"lineage": False})


class Outer(StageConfig):
    count: int = Field(gt=0, description="how many")
    label: str = Field(default="x", description="a name")
    num_workers: int = Field(default=1, description="processes", json_schema_extra={"lineage": False})
    inner: Inner = Field(default=Inner(), description="more")


def test_toml_and_overrides_are_merged(tmp_path: Path) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text("count = 3\n[inner]\nrate = 1.5\n", encoding="utf-8")
    config = Outer.from_toml(file, ["count=4", "label=bare word", "inner.path='a b'"])
    assert config == Outer(count=4, label="bare word", inner=Inner(rate=1.5, path=Path("a b")))


def test_command_line_with_and_without_a_file(tmp_path: Path) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text("count = 3\n", encoding="utf-8")
    assert Outer.from_command_line(file, ["label=y"]) == Outer(count=3, label="y")
    assert Outer.from_command_line(None, ["count=5"]) == Outer(count=5)


def test_models_are_frozen_and_closed() -> None:
    config = Outer(count=1)
    with pytest.raises(ValidationError):
        config.count = 2  # pyrefly: ignore[read-only]
    with pytest.raises(ConfigError, match=r"coutn: no such field; found 2; meant count\?"):
        Outer.from_values({"count": 1, "coutn": 2})


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["count"], r"override 'count' is not of the form key=value"),
        (["=3"], r"override '=3' is not of the form"),
        (["count=1", "count.sub=2"], r"'count' is a value, not a table"),
        (["count=0"], r"count: Input should be greater than 0; found 0"),
        (["count=many"], r"count: .*found 'many'"),
        ([], r"count: is required and not given"),
        (["count=1", "inner.rat=2"], r"inner\.rat: no such field; found 2; meant inner\.rate\?"),
    ],
)
def test_every_bad_override_is_named(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Outer.from_command_line(None, overrides)


def test_bad_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no configuration file at .*absent\.toml"):
        Outer.from_toml(tmp_path / "absent.toml")
    (tmp_path / "bad.toml").write_text("count = = 3", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"bad\.toml is not a readable TOML file"):
        Outer.from_toml(tmp_path / "bad.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"binary\.toml is not a readable TOML file"):
        Outer.from_toml(tmp_path / "binary.toml")


def test_overrides_leave_the_values_they_were_given_alone() -> None:
    values = {"count": 1, "inner": {"rate": 2.0}}
    Outer.from_values(values, ["inner.rate=3.0"])
    assert values == {"count": 1, "inner": {"rate": 2.0}}


@given(num_workers=st.integers(), path=st.text(), label=st.text(), rate=st.floats(allow_nan=False))
def test_the_digest_covers_exactly_the_fields_that_decide_the_output(
    num_workers: int, path: str, label: str, rate: float
) -> None:
    config = Outer(count=1, label=label, inner=Inner(rate=rate))
    elsewhere = Outer(count=1, label=label, num_workers=num_workers, inner=Inner(rate=rate, path=Path(path)))
    assert elsewhere.digest() == config.digest()
    assert config.lineage_values() == {"count": 1, "inner": {"rate": rate}, "label": label}
    assert Outer(count=2, label=label, inner=Inner(rate=rate)).digest() != config.digest()


class Collection(StageConfig):
    parts: tuple[Inner, ...] = Field(description="several")
    named: dict[str, Inner] = Field(description="several by name")


def test_the_digest_looks_into_collections_of_models() -> None:
    def collection(path: str, rate: float) -> Collection:
        inner = Inner(rate=rate, path=Path(path))
        return Collection(parts=(inner,), named={"a": inner})

    assert collection("here", 1.0).digest() == collection("there", 1.0).digest()
    assert collection("here", 1.0).digest() != collection("here", 2.0).digest()
    assert collection("here", 1.0).lineage_values() == {"named": {"a": {"rate": 1.0}}, "parts": [{"rate": 1.0}]}


def test_a_digest_is_the_same_in_every_release() -> None:
    # Changing it would make every finished output look like another configuration's.
    assert Outer(count=1).digest() == "8f100a92da3cd7dca1e1ce0b446976df5d849a339c4aa44c70ead363b076c629"


def test_help_text_names_key_default_and_meaning() -> None:
    assert Outer.help_text().splitlines() == [
        "\b",
        "Fields:",
        "  count (required)",
        "      how many",
        '  label ("x")',
        "      a name",
        "  inner.rate (0.5)",
        "      rate in 1/s",
        '  inner.path ("somewhere")',
        "      where",
        "  num_workers (1)",
        "      processes",
    ]
