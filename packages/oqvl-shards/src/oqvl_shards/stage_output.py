"""One way to run a stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from oqvl_shards.dataset import MANIFEST_NAME, UNFINISHED_NAME, Dataset, open_dataset
from oqvl_shards.errors import ConfigError
from oqvl_shards.manifest import Lineage


def finished_output(directory: Path | str, lineage: Lineage, *, in_place: bool = False) -> Dataset | None:
    """Return the dataset in `directory` when a step with this very lineage has finished it, None when none has.

    After None the directory is the step's own: it is there, it can be written, and what it holds the step has written
    itself before it was stopped. `UNFINISHED_NAME` says so until the manifest is written.

    Args:
        directory: Where the step writes.
        lineage: What the step is.
        in_place: Whether the step describes what lies in the directory already, so that any file may be there.

    Raises:
        ConfigError: When it cannot be written, or it holds files of anyone else, or of another step, configuration or
            inputs; nothing is overwritten.
    """
    directory = Path(directory)
    marker = directory / UNFINISHED_NAME
    if (directory / MANIFEST_NAME).exists():
        dataset = open_dataset(directory)
        _check_same_step(directory, "the output", dataset.manifest.lineage, lineage)
        if marker.exists():  # the step was killed right after its manifest came
            marker.unlink(missing_ok=True)
        return dataset
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if not in_place and (names := _names_in(directory)):
            begun = Lineage.model_validate_json(marker.read_bytes()) if marker.exists() else None
            if begun is None:
                raise _foreign(directory, names)
            _check_same_step(directory, "the unfinished output", begun, lineage)
        else:  # nothing reads it while it is alone, so processes of one step may all write it
            marker.write_text(lineage.model_dump_json(), encoding="utf-8")
    except ValidationError as error:
        raise ConfigError(f"{marker} is damaged", hint=f"delete {directory}, or name another directory") from error
    except OSError as error:
        hint = "name a directory that is new or empty, where you may write"
        raise ConfigError(f"{directory} cannot be written: {error.strerror}", hint=hint) from error
    return None


def _names_in(directory: Path) -> list[str]:
    """Return what lies in `directory` beside the mark of a step that has begun."""
    return sorted(path.name for path in directory.iterdir() if path.name != UNFINISHED_NAME)


def _foreign(directory: Path, names: Sequence[str]) -> ConfigError:
    others = f" and {len(names) - 1:,} more" if len(names) > 1 else ""
    return ConfigError(
        f"{directory} holds {names[0]}{others}, which this command has not written",
        hint="name a directory that is new or empty; nothing is ever overwritten",
    )


def _check_same_step(directory: Path, what: str, found: Lineage, expected: Lineage) -> None:
    if found == expected:
        return
    keys = _differing_keys(found.config, expected.config)
    differences = {
        f"by {found.tool}": found.tool != expected.tool,
        f"by version {found.version}": found.version != expected.version,
        f"with other values of {', '.join(keys)}": bool(keys),
        "from other inputs": (found.parents, found.ancestors) != (expected.parents, expected.ancestors),
    }
    how = " and ".join(difference for difference, holds in differences.items() if holds)
    raise ConfigError(
        f"{directory} already holds {what} of {found.tool} {found.version}, made {how or 'otherwise'}",
        hint="choose another output directory, or delete this one",
    )


def _differing_keys(found: Mapping[str, Any], expected: Mapping[str, Any]) -> list[str]:
    """Return the dotted keys, sorted, whose values two nested tables do not share."""
    keys = []
    for key in sorted({*found, *expected}):
        left, right = found.get(key), expected.get(key)
        if isinstance(left, Mapping) and isinstance(right, Mapping):
            keys += [f"{key}.{inner}" for inner in _differing_keys(left, right)]
        elif left != right:
            keys.append(key)
    return keys
