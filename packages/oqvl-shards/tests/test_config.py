from datetime import date
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from oqvl_shards.config import Names, Paths, StageConfig
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
    with pytest.raises(ConfigError, match=r"coutn: no such field; found 2; did you mean count\?"):
        Outer.from_values({"count": 1, "coutn": 2})


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["count"], r"override 'count' is not of the form key=value"),
        (["=3"], r"override '=3' is not of the form"),
        (["count=1", "label.x.sub=2", "label.x=3"], r"'label.x=3' sets the whole of 'label.x', and 'label.x.sub=2'"),
        (["count=0"], r"count: Input should be greater than 0; found 0"),
        (["count=many"], r"count: .*found 'many'"),
        ([], r"count: is required but not set"),
        (["count=1", "inner.rat=2"], r"inner\.rat: no such field; found 2; did you mean inner\.rate\?"),
    ],
)
def test_every_bad_override_is_named(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Outer.from_command_line(None, overrides)


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ("files=a", "files=b", "overrides 'files=a' and 'files=b' both set 'files'"),
        ("size=1", "size=1", "overrides 'size=1' and 'size=1' both set 'size'"),
        ("inner.rate=1", "inner.rate=2", "overrides 'inner.rate=1' and 'inner.rate=2' both set 'inner.rate'"),
        (
            "inner={rate=1}",
            "inner.path=a",
            "override 'inner={rate=1}' sets the whole of 'inner', and 'inner.path=a' sets a field of it",
        ),
    ],
)
def test_two_overrides_of_the_same_are_refused_in_any_order(first: str, second: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Listing.from_command_line(None, [first, "names=x", second])
    assert caught.value.message == message
    with pytest.raises(ConfigError):
        Listing.from_command_line(None, [second, "names=x", first])


def test_a_key_given_twice_is_told_how_a_list_is_written() -> None:
    with pytest.raises(ConfigError) as caught:
        Listing.from_values({}, ["files=a", "files=b"])
    assert caught.value.hint == """set each key once; for a list, write files='["a", "b"]'"""
    assert Listing.from_values({}, ['files=["a", "b"]']).files == (Path("a"), Path("b"))


def test_a_file_may_be_overridden_by_a_table_or_by_a_field_of_one(tmp_path: Path) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text("count = 3\n[inner]\nrate = 1.5\npath = 'a'\n", encoding="utf-8")
    assert Outer.from_toml(file, ["inner.rate=2"]).inner == Inner(rate=2, path=Path("a"))
    assert Outer.from_toml(file, ["inner={rate=2}"]).inner == Inner(rate=2)
    with pytest.raises(ConfigError, match="'count' is a value, not a table"):
        Outer.from_toml(file, ["count.sub=2"])


@given(st.permutations(["label=x", "inner.rate=2", "inner.path=a", "num_workers=4"]))
def test_the_order_of_overrides_does_not_matter(overrides: list[str]) -> None:
    expected = Outer(count=1, label="x", inner=Inner(rate=2, path=Path("a")), num_workers=4)
    assert Outer.from_values({"count": 1}, overrides) == expected


PROSE: dict[str, Any] = {"prose": True}


class Turn(StageConfig):
    text: str = Field(default="", json_schema_extra=PROSE)


class Spoken(StageConfig):
    kind: Literal["spoken"]
    text: str = Field(default="", json_schema_extra=PROSE)


class Written(StageConfig):
    kind: Literal["written"]
    text: str = ""


class Conversation(StageConfig):
    opening: str = Field(default="", json_schema_extra=PROSE)
    pattern: str = ""
    turn: Turn = Turn()
    turns: dict[str, Turn] = Field(default_factory=dict)
    said: Spoken | Written | None = Field(default=None, discriminator="kind")
    options: dict[str, Any] = Field(default_factory=dict)


@pytest.mark.parametrize("text", ["one\\ntwo", "one\\two", '"no TOML \\d"', '["one\\ntwo"]'])
@pytest.mark.parametrize(
    ("key", "others"), [("opening", []), ("turn.text", []), ("turns.x.text", []), ("said.text", ["said.kind=spoken"])]
)
def test_a_backslash_in_unquoted_prose_is_refused(key: str, others: list[str], text: str) -> None:
    with pytest.raises(ConfigError, match="has a backslash, but only quoted text has escapes") as caught:
        Conversation.from_values({}, [f"{key}={text}", *others])
    assert caught.value.message.startswith(f"override {key}={text} has")
    assert caught.value.hint == (
        f"quote it as in a recipe, for example '{key}=\"one\\ntwo\"' for a line break; "
        f"\"{key}='one\\ntwo'\" keeps the backslash"
    )


@pytest.mark.parametrize(
    ("text", "meaning"),
    [('"one\\ntwo"', "one\ntwo"), ("'one\\ntwo'", "one\\ntwo"), ("plain words", "plain words"), ("2026", "2026")],
)
def test_quoted_prose_and_prose_without_a_backslash_are_taken(text: str, meaning: str) -> None:
    overrides = [f"opening={text}", f"turn.text={text}", f"turns.x.text={text}"]
    expected = Conversation(opening=meaning, turn=Turn(text=meaning), turns={"x": Turn(text=meaning)})
    assert Conversation.from_values({}, overrides) == expected


def test_a_backslash_outside_prose_stands_for_itself(tmp_path: Path) -> None:
    overrides = ["pattern=\\d+", "options.text=a\\nb", "said.kind=written", "said.text=a\\nb"]
    expected = Conversation(pattern="\\d+", options={"text": "a\\nb"}, said=Written(kind="written", text="a\\nb"))
    assert Conversation.from_command_line(None, overrides) == expected
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("opening = 'one\\ntwo'", encoding="utf-8")
    assert Conversation.from_command_line(recipe, ["pattern=x"]).opening == "one\\ntwo"


class First(StageConfig):
    kind: Literal["first"]
    file: Path


class Second(StageConfig):
    kind: Literal["second"]
    size: int


class Listing(StageConfig):
    name: str = ""
    output: Path | None = None
    size: int = 1
    files: Paths = ()
    names: Names = ()
    inner: Inner = Inner()
    labelled: dict[str, Paths] = Field(default_factory=dict)
    either: First | Second | None = Field(default=None, discriminator="kind")


@pytest.mark.parametrize(
    ("override", "key", "expected"),
    [
        ("name=2026", "name", "2026"),
        ("name=true", "name", "true"),
        ("name=1.50", "name", "1.50"),
        ("output=2024-01-01", "output", Path("2024-01-01")),
        ("output=7", "output", Path("7")),
        ("inner.path=2024", "inner", Inner(path=Path("2024"))),
        ("files=a.jpg", "files", (Path("a.jpg"),)),
        ("files=2026", "files", (Path("2026"),)),
        ('files=["a", "b"]', "files", (Path("a"), Path("b"))),
        ("files=[]", "files", ()),
        ("names=text", "names", ("text",)),
        ("names=true", "names", ("true",)),
        ("labelled.x=2026", "labelled", {"x": (Path("2026"),)}),
        ("size=7", "size", 7),
    ],
)
def test_a_single_value_is_a_list_of_one_and_text_is_taken_as_it_stands(
    override: str, key: str, expected: object
) -> None:
    assert getattr(Listing.from_values({}, [override]), key) == expected


def test_text_is_taken_as_it_stands_below_a_union_too() -> None:
    found = Listing.from_values({"either": {"kind": "first"}}, ["either.file=2026", "size=2"])
    assert found == Listing(either=First(kind="first", file=Path("2026")), size=2)


@pytest.mark.parametrize(
    ("values", "overrides", "message"),
    [
        ({"name": date(2024, 1, 1)}, [], r"name: Input should be a valid string"),
        ({"name": 2026}, ["size=2026"], r"name: .*found 2026"),
        ({}, ["names=[1, 2]"], r"names\.0: .*found 1"),
        ({}, ["size=word", "name=1"], r"1 configuration error\(s\)\n  size: .*found 'word'"),
    ],
)
def test_other_values_are_refused_as_before(values: dict[str, Any], overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Listing.from_values(values, overrides)


def test_the_hint_of_an_override_fits_every_command() -> None:
    with pytest.raises(ConfigError) as caught:
        Listing.from_values({}, ["pool"])
    assert caught.value.hint == "write KEY=VALUE, for example seed=7"


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


def test_help_text_begins_with_the_fields_of_which_one_is_required() -> None:
    class Either(StageConfig):
        output: Path = Field(description="where")
        source: Path | None = Field(default=None, json_schema_extra={"lineage": False, "alternative": True})
        mixture: Paths = Field(default=(), json_schema_extra={"alternative": True})

    assert [field.key for field in Either._field_helps()] == ["source", "mixture", "output"]


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


class Circle(StageConfig):
    form: Literal["circle"] = Field(description="which form")
    radius: float = Field(description="in m")
    colour: str = Field(default="red", description="its paint", json_schema_extra={"lineage": False})


class Point(StageConfig):
    form: Literal["point"] = Field(default="point", description="which form")


class Drawing(StageConfig):
    shape: Circle | Point = Field(default=Point(), description="what is drawn", discriminator="form")


def test_help_text_lists_the_fields_of_every_model_that_a_field_can_be() -> None:
    assert Drawing.help_text().splitlines()[2:] == [
        '  shape ({"form": "point"})',
        "      what is drawn",
        '      shape.form=circle: radius (required), colour ("red")',
        "      shape.form=point",
    ]
