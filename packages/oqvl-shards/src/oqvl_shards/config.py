"""Configuration models: frozen, closed, loadable from TOML, with a digest that goes into the lineage."""

from __future__ import annotations

import copy
import difflib
import hashlib
import json
import textwrap
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, Self, TypedDict

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from oqvl_shards.errors import ConfigError


class Frozen(BaseModel):
    """An immutable pydantic model that refuses unknown fields."""

    # Validators are built at first use: a command line that only prints its help needs none.
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class StageConfig(Frozen):
    """The base of every stage's configuration.

    A stage is a function of its configuration and its input manifests; `digest` is what its output's lineage records.
    Fields that cannot change the output bytes (numbers of workers, paths, progress) are left out of the digest when
    they are declared with `json_schema_extra={"lineage": False}`.
    """

    @classmethod
    def from_toml(cls, path: Path | str, overrides: Sequence[str] = ()) -> Self:
        """Read a TOML file, apply `key.sub=value` overrides (values in TOML syntax, bare words as strings), validate.

        Raises:
            ConfigError: When the file is missing, is not TOML, or fails validation; every bad key is named.
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
        """Validate `values` after applying `overrides`; see `from_toml`."""
        merged = copy.deepcopy(dict(values))
        for override in overrides:
            _apply_override(merged, override)
        try:
            return cls.model_validate(merged)
        except ValidationError as error:
            raise ConfigError(_describe(error, where or cls.__name__, [key for key, *_ in cls._fields()])) from error

    @classmethod
    def from_command_line(cls, config_file: Path | None, overrides: Sequence[str]) -> Self:
        """Make the configuration of a command called as `command [-c FILE] [key=value ...]`."""
        if config_file is not None:
            return cls.from_toml(config_file, overrides)
        return cls.from_values({}, overrides, where="command line")

    @classmethod
    def help_text(cls) -> str:
        """Return the fields for the end of a command's `--help`: a line `key (default)` each, its meaning below."""
        lines = []
        for key, description, default in cls._fields():
            lines += [
                f"  {key} ({default})",
                *textwrap.wrap(description, 74, initial_indent=" " * 6, subsequent_indent=" " * 6),
            ]
        # \b keeps the help formatter from joining the lines.
        return "\n".join(["\b", "Fields:", *lines])

    @classmethod
    def _fields(cls, prefix: str = "") -> Iterator[tuple[str, str, str]]:
        """Yield key, meaning and default of every field: what is required first, what decides no byte last."""

        def order(item: tuple[str, FieldInfo]) -> tuple[bool, bool]:
            _, field = item
            return not field.is_required(), not _is_in_lineage(field)

        for name, field in sorted(cls.model_fields.items(), key=order):
            annotation = field.annotation
            if isinstance(annotation, type) and issubclass(annotation, StageConfig):
                yield from annotation._fields(f"{prefix}{name}.")
                continue
            default = "required" if field.is_required() else _shown(field.get_default(call_default_factory=True))
            yield f"{prefix}{name}", field.description or "", default

    def lineage_values(self) -> dict[str, Any]:
        """Return the fields that decide the output, as JSON values with sorted keys."""
        return _lineage_values(self)

    def digest(self) -> str:
        """Return the sha256 (64 hex digits) of `lineage_values` in canonical JSON."""
        canonical = json.dumps(self.lineage_values(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(canonical.encode()).hexdigest()


class Engine(StrEnum):
    """Where shards are worked on."""

    LOCAL = "local"
    RAY = "ray"


class Workers(TypedDict):
    """What `map_shards` is told about who works."""

    num_workers: int
    engine: Engine


class MappedConfig(StageConfig):
    """The base of stages that map a function over shards; neither field changes a byte of the output."""

    num_workers: int = Field(
        default=1, ge=1, description="processes that work on shards", json_schema_extra={"lineage": False}
    )
    engine: Engine = Field(
        default=Engine.LOCAL,
        description="local: processes of this machine; ray: tasks on the Ray cluster of RAY_ADDRESS, or on one of this "
        "machine's, as many at once as it has CPUs unless num_workers is above 1",
        json_schema_extra={"lineage": False},
    )

    @property
    def workers(self) -> Workers:
        """Keyword arguments of `map_shards`."""
        return Workers(num_workers=self.num_workers, engine=self.engine)


def _shown(default: Any) -> str:
    """Return a default value as a recipe would state it."""
    if default is None:
        return "unset"
    return json.dumps(to_jsonable_python(default), ensure_ascii=False)


def _is_in_lineage(field: FieldInfo) -> bool:
    extra = field.json_schema_extra
    return not (isinstance(extra, dict) and extra.get("lineage") is False)


def _lineage_values(model: BaseModel) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, field in sorted(type(model).model_fields.items()):
        if not _is_in_lineage(field):
            continue
        dumped = model.model_dump(mode="json", include={name})[name]
        values[name] = _without_what_cannot_matter(getattr(model, name), dumped)
    return values


def _without_what_cannot_matter(value: Any, dumped: Any) -> Any:
    """Return `dumped`, the JSON form of `value`, with the models inside as `_lineage_values` gives them."""
    if isinstance(value, BaseModel):
        return _lineage_values(value)
    if isinstance(value, Mapping):
        items = zip(dumped.items(), value.values(), strict=True)
        return {key: _without_what_cannot_matter(inner, inner_dumped) for (key, inner_dumped), inner in items}
    if isinstance(value, list | tuple):
        return [_without_what_cannot_matter(*pair) for pair in zip(value, dumped, strict=True)]
    return dumped


def _apply_override(values: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise ConfigError(f"override {override!r} is not of the form key=value", hint="for example train.seed=7")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *parents, last = key.split(".")
    for parent in parents:
        values = values.setdefault(parent, {})
        if not isinstance(values, dict):
            raise ConfigError(f"override {override!r}: {parent!r} is a value, not a table")
    values[last] = value


def _describe(error: ValidationError, where: str, known: Sequence[str]) -> str:
    lines = [f"{where}: {error.error_count()} configuration error(s)"]
    for problem in error.errors(include_url=False):
        key = ".".join(str(part) for part in problem["loc"])
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "missing":
            message = "is required and not given"
        elif problem["type"] == "extra_forbidden":
            close = difflib.get_close_matches(key, known, n=1)
            message = f"no such field; found {problem['input']!r:.200}" + (f"; meant {close[0]}?" if close else "")
        elif key:
            message += f"; found {problem['input']!r:.200}"
        lines.append(f"  {key}: {message}" if key else f"  {message}")
    return "\n".join(lines)
