"""Configuration models: frozen, without unknown fields, loaded from TOML, with a digest for the lineage."""

from __future__ import annotations

import copy
import difflib
import hashlib
import itertools
import json
import textwrap
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Self, TypedDict, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, to_jsonable_python

from oqvl_shards.errors import ConfigError


def _as_tuple(value: object) -> object:
    return value if isinstance(value, Iterable) and not isinstance(value, str) else (value,)


Paths = Annotated[tuple[Path, ...], BeforeValidator(_as_tuple)]
"""Several paths. A single one does not have to be written as a list."""

Names = Annotated[tuple[str, ...], BeforeValidator(_as_tuple)]
"""Several names. A single one does not have to be written as a list."""


class Frozen(BaseModel):
    """An immutable pydantic model that refuses unknown fields."""

    # Build validators at first use: a command line that only prints its help needs none.
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class StageConfig(Frozen):
    """The base of every stage's configuration.

    A stage is a function of its configuration and its input manifests, and its output's lineage records `digest`. Two
    marks on a field change how it is treated:

    - `json_schema_extra={"lineage": False}`: the field cannot change the output bytes (numbers of workers, paths,
      progress), so `digest` leaves it out.
    - `json_schema_extra={"prose": True}`: the field is prose for a model, in which line breaks matter. An override
      with an ambiguous backslash is refused.
    """

    @classmethod
    def from_toml(cls, path: Path | str, overrides: Sequence[str] = ()) -> Self:
        """Read a TOML file, apply `key.sub=value` overrides, and validate the result.

        The value of an override is TOML. A bare word is a string. A text or path field takes any value as text:
        `name=2026`. The order of the overrides does not matter, because no two may set the same field.

        Raises:
            ConfigError: If the file is missing, is not TOML, or fails validation (the message names every bad key); if
                two overrides set the same key, or one sets a table and another one a field in it; if an override of a
                prose field is unquoted and has a backslash, which could mean a line break or two characters.
        """
        path = Path(path)
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise ConfigError(f"no configuration file at {path}", hint="check the path") from error
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ConfigError(f"{path} is not a readable TOML file: {error}") from error
        return cls.from_values(values, overrides, where=str(path))

    @classmethod
    def from_values(cls, values: Mapping[str, Any], overrides: Sequence[str] = (), *, where: str = "") -> Self:
        """Apply `overrides` to `values` and validate the result; see `from_toml`."""
        parsed = [_Override.parse(override) for override in overrides]
        _refuse_repeated(parsed)
        try:
            config = cls._validate(values, parsed)
        except ValidationError as error:
            known = [field.key for field in cls._field_helps()]
            raise ConfigError(_describe(error, where or cls.__name__, known)) from error
        _refuse_unquoted_prose(config, parsed)
        return config

    @classmethod
    def _validate(cls, values: Mapping[str, Any], overrides: Sequence[_Override]) -> Self:
        """Validate the merged values. Retry with the text of an override if a text or path field refuses its value."""
        try:
            return cls.model_validate(_merge(values, overrides))
        except ValidationError as error:
            problems = error.errors(include_url=False)
        return cls.model_validate(_merge(values, [override.as_wanted(problems) for override in overrides]))

    @classmethod
    def from_command_line(cls, config_file: Path | None, overrides: Sequence[str]) -> Self:
        """Return the configuration for the arguments of `command [-c FILE] [key=value ...]`."""
        if config_file is not None:
            return cls.from_toml(config_file, overrides)
        return cls.from_values({}, overrides, where="command line")

    @classmethod
    def help_text(cls) -> str:
        """Return the fields for the end of a command's `--help`: a line `key (default)` per field, its meaning below.

        A field that can be one of several models is followed by the fields of each model:
        `key.tag=NAME: field (default), ...`.
        """
        lines = []
        for field in cls._field_helps():
            lines += [f"  {field.key} ({field.default})", *_wrapped(field.meaning, 6)]
            for variant in _variants(cls.model_fields.get(field.key)):
                lines += _wrapped(f"{field.key}.{variant}", 6, hanging=4)
        # \b keeps the help formatter from joining the lines.
        return "\n".join(["\b", "Fields:", *lines])

    @classmethod
    def _field_helps(cls, prefix: str = "") -> Iterator[_FieldHelp]:
        """Yield the help of every field: required fields first, fields that change no output byte last.

        If a command needs exactly one of several fields, they come before all others. They are declared with
        `json_schema_extra={"alternative": True}`.
        """

        def order(item: tuple[str, FieldInfo]) -> tuple[bool, ...]:
            _, field = item
            if _extra(field, "alternative") is True:
                return (False,)
            return True, not field.is_required(), not _is_in_lineage(field)

        for name, field in sorted(cls.model_fields.items(), key=order):
            annotation = field.annotation
            if isinstance(annotation, type) and issubclass(annotation, StageConfig):
                yield from annotation._field_helps(f"{prefix}{name}.")
                continue
            default = "required" if field.is_required() else _shown(field.get_default(call_default_factory=True))
            yield _FieldHelp(f"{prefix}{name}", field.description or "", default)

    def lineage_values(self) -> dict[str, Any]:
        """Return the fields that decide the output, as JSON values with sorted keys."""
        return _lineage_values(self)

    def digest(self) -> str:
        """Return the sha256 (64 hex digits) of `lineage_values` in canonical JSON."""
        return digest_of_values(self.lineage_values())


def digest_of_values(values: Mapping[str, Any]) -> str:
    """Return the sha256 (64 hex digits) of JSON values in canonical JSON: sorted keys, no spaces."""
    canonical = json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


class _FieldHelp(NamedTuple):
    """The help for one field: its dotted key, its meaning, and its default as a recipe would state it."""

    key: str
    meaning: str
    default: str


class Engine(StrEnum):
    """Where shards are processed."""

    LOCAL = "local"
    RAY = "ray"


class Workers(TypedDict):
    """Keyword arguments of `map_shards` that say where the work is done."""

    num_workers: int
    engine: Engine


class MappedConfig(StageConfig):
    """The base of stages that map a function over shards. Neither field changes a byte of the output."""

    num_workers: int = Field(
        default=1, ge=1, description="number of worker processes", json_schema_extra={"lineage": False}
    )
    engine: Engine = Field(
        default=Engine.LOCAL,
        description="local: processes on this machine; ray: tasks on the Ray cluster at RAY_ADDRESS, or on a new one "
        "on this machine, which use every CPU of the cluster unless num_workers is above 1",
        json_schema_extra={"lineage": False},
    )

    @property
    def workers(self) -> Workers:
        """The two fields as keyword arguments of `map_shards`."""
        return Workers(num_workers=self.num_workers, engine=self.engine)


def _variants(field: FieldInfo | None) -> Iterator[str]:
    """Yield `tag=NAME: field (default), ...` for each model that a field can be, if a tag tells them apart."""
    if field is None or not isinstance(field.discriminator, str):
        return
    tag = field.discriminator
    for model in get_args(field.annotation):
        name = "|".join(get_args(model.model_fields[tag].annotation))
        others = ", ".join(f"{other.key} ({other.default})" for other in model._field_helps() if other.key != tag)
        yield f"{tag}={name}: {others}" if others else f"{tag}={name}"


def _wrapped(text: str, indent: int, hanging: int = 0) -> list[str]:
    first, further = " " * indent, " " * (indent + hanging)
    return textwrap.wrap(text, 74, initial_indent=first, subsequent_indent=further, break_on_hyphens=False)


def _shown(default: Any) -> str:
    """Return a default value as it would be written in a recipe."""
    if default is None:
        return "unset"
    return json.dumps(to_jsonable_python(default), ensure_ascii=False)


def _is_in_lineage(field: FieldInfo) -> bool:
    return _extra(field, "lineage") is not False


def _extra(field: FieldInfo, key: str) -> object:
    """Return the value of `key` in a field's `json_schema_extra`, or None if the field does not declare it."""
    extra = field.json_schema_extra
    return extra.get(key) if isinstance(extra, dict) else None


def _lineage_values(model: BaseModel) -> dict[str, Any]:
    """Return the fields of a model that decide the output, as JSON values, by name."""
    values: dict[str, Any] = {}
    for name, field in sorted(type(model).model_fields.items()):
        if not _is_in_lineage(field):
            continue
        dumped = model.model_dump(mode="json", include={name})[name]
        values[name] = _in_lineage(getattr(model, name), dumped)
    return values


def _in_lineage(value: Any, dumped: Any) -> Any:
    """Return `dumped`, the JSON form of `value`, with every model in it reduced to its `_lineage_values`."""
    if isinstance(value, BaseModel):
        return _lineage_values(value)
    if isinstance(value, Mapping):
        items = zip(dumped.items(), value.values(), strict=True)
        return {key: _in_lineage(inner, inner_dumped) for (key, inner_dumped), inner in items}
    if isinstance(value, list | tuple):
        return [_in_lineage(inner, inner_dumped) for inner, inner_dumped in zip(value, dumped, strict=True)]
    return dumped


@dataclass(frozen=True)
class _Override:
    """One argument `key.sub=value`.

    Args:
        argument: The whole argument.
        keys: The parts of the key.
        text: The text after the equals sign.
        value: The value of that text in TOML; the text itself if it is not TOML.
    """

    argument: str
    keys: tuple[str, ...]
    text: str
    value: Any

    @classmethod
    def parse(cls, argument: str) -> Self:
        """Take an argument apart.

        Raises:
            ConfigError: If it is not of the form key=value.
        """
        key, separator, text = argument.partition("=")
        if not separator or not key:
            raise ConfigError(
                f"override {argument!r} is not of the form key=value", hint="write KEY=VALUE, for example seed=7"
            )
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = text
        return cls(argument, tuple(key.split(".")), text, value)

    def as_wanted(self, problems: Sequence[ErrorDetails]) -> Self:
        """Return the override with its text as the value, if a text or path field refused the value."""
        return replace(self, value=self.text) if any(self._is_no_text(problem) for problem in problems) else self

    def _is_no_text(self, problem: ErrorDetails) -> bool:
        # Between the keys, the location names members of unions; after them, an index into a list of one.
        location = iter(problem["loc"])
        return (
            problem["type"] in ("string_type", "path_type")
            and problem["input"] == self.value
            and all(key in location for key in self.keys)
        )


def _refuse_repeated(overrides: Sequence[_Override]) -> None:
    """Raise if two overrides set the same field.

    Raises:
        ConfigError: If two have the same key, or if one sets a table and another sets a field in it.
    """
    for first, second in itertools.combinations(overrides, 2):
        if first.keys == second.keys:
            key = ".".join(first.keys)
            raise ConfigError(
                f"overrides {first.argument!r} and {second.argument!r} both set {key!r}",
                hint=f'set each key once; for a list, write {key}=\'["a", "b"]\'',
            )
        if all(left == right for left, right in zip(first.keys, second.keys, strict=False)):
            table, field = sorted((first, second), key=lambda override: len(override.keys))
            raise ConfigError(
                f"override {table.argument!r} sets the whole of {'.'.join(table.keys)!r}, and {field.argument!r} sets "
                "a field of it",
                hint="set the whole table, or single fields",
            )


def _refuse_unquoted_prose(config: StageConfig, overrides: Sequence[_Override]) -> None:
    """Raise if an override of a prose field has a backslash outside of quotes.

    Raises:
        ConfigError: The hint shows both ways to quote it.
    """
    for override in overrides:
        if "\\" in override.text and _prose(config, override.keys) == override.text:
            key = ".".join(override.keys)
            raise ConfigError(
                # Not as repr, which would double the backslash.
                f"override {override.argument:.200} has a backslash, but only quoted text has escapes",
                hint=f"quote it as in a recipe, for example '{key}=\"one\\ntwo\"' for a line break; "
                f"\"{key}='one\\ntwo'\" keeps the backslash",
            )


def _prose(value: object, keys: Sequence[str]) -> object:
    """Return the value at `keys` in a configuration if it is a prose field, else None."""
    field = None
    for key in keys:
        if isinstance(value, Mapping):
            field, value = None, value.get(key)
        elif isinstance(value, BaseModel):
            field, value = type(value).model_fields.get(key), getattr(value, key, None)
        else:
            return None
    return value if field is not None and _extra(field, "prose") is True else None


def _merge(values: Mapping[str, Any], overrides: Sequence[_Override]) -> dict[str, Any]:
    """Return a copy of `values` with the overrides applied.

    Raises:
        ConfigError: If an override sets a field of something that is not a table.
    """
    merged = copy.deepcopy(dict(values))
    for override in overrides:
        table = merged
        *parents, last = override.keys
        for parent in parents:
            table = table.setdefault(parent, {})
            if not isinstance(table, dict):
                raise ConfigError(f"override {override.argument!r}: {parent!r} is a value, not a table")
        table[last] = override.value
    return merged


def _describe(error: ValidationError, where: str, known: Sequence[str]) -> str:
    """Return a message with one line per problem: its key, what is wrong, and what was found.

    Args:
        error: The problems.
        where: Where the values come from, e.g. the file.
        known: The keys that exist, to suggest one for a key that does not.
    """
    lines = [f"{where}: {error.error_count()} configuration error(s)"]
    for problem in error.errors(include_url=False):
        key = ".".join(str(part) for part in problem["loc"])
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "missing":
            message = "is required but not set"
        elif problem["type"] == "extra_forbidden":
            close = difflib.get_close_matches(key, known, n=1)
            suggestion = f"; did you mean {close[0]}?" if close else ""
            message = f"no such field; found {problem['input']!r:.200}{suggestion}"
        elif key:
            message += f"; found {problem['input']!r:.200}"
        lines.append(f"  {key}: {message}" if key else f"  {message}")
    return "\n".join(lines)
