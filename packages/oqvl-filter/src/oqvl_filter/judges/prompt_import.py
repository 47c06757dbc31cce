"""Read the prompts of MLM-Filter out of a user's own checkout: its text is parsed as Python and never run.

The released checkpoints of MLM-Filter answer best to the very words they were trained on, and those are its authors'.
A scoring script there holds one template with the replacement fields `caption`, `criteria` and, where it likes,
`aspect`; a string of criteria a metric; and a dictionary from the metrics' long names to those strings. The aspect is
the metric's long name in words. The scripts differ in their wording, as the checkpoints do that they go with.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from oqvl_filter.judges.prompt_set import PLACEHOLDER, PromptSet
from oqvl_shards.errors import ConfigError

LONG_NAMES = {
    "itm": "image_text_matching",
    "odf": "object_detail_fulfillment",
    "ctq": "caption_text_quality",
    "su": "semantic_understanding",
}
"""How each metric is spelled out (arXiv 2403.02677, section 3)."""

_FIELD = re.compile(r"\{(\w+)\}")
_REQUIRED_FIELDS = {"caption", "criteria"}
_FIELDS = _REQUIRED_FIELDS | {"aspect"}
_MAX_SOURCE_BYTES = 4 << 20


def read_checkout(source: Path, name: str) -> PromptSet:
    """Return the prompts that a scoring script, or the scripts of a folder, hold.

    Args:
        source: A script, or a folder whose scripts have all the same prompts.
        name: Name of the prompt set.

    Raises:
        ConfigError: When there is no such file, it is no Python, no script has a prompt for every metric, or scripts
            differ in theirs.
    """
    if not source.exists():
        raise ConfigError(f"there is no file at {source}", hint="check source=")
    paths = sorted(source.rglob("*.py")) if source.is_dir() else [source]
    found: dict[Path, dict[str, str]] = {}
    for path in paths:
        try:
            prompts = _prompts_of(path)
        except ConfigError:
            # A checkout may hold files of any kind; only one that was named must be a script.
            if not source.is_dir():
                raise
            continue
        if prompts:
            found[path] = prompts
    if not found:
        raise ConfigError(
            f"{source} holds no prompts: no script with a template of {{caption}} and {{criteria}} and a dictionary "
            f"from {', '.join(LONG_NAMES.values())} to their criteria",
            hint="give a scoring script of the checkout, or the folder of one",
        )
    first, *others = found
    if any(found[other] != found[first] for other in others):
        raise ConfigError(
            f"{source}: {len(found)} scripts have prompts that differ: {', '.join(str(path) for path in found)}",
            hint="give the script that goes with your checkpoint",
        )
    return PromptSet(name=name, max_score=100, prompts=found[first])


def _prompts_of(path: Path) -> dict[str, str]:
    """Return the prompt of every metric, or nothing where the file is another kind of program.

    Raises:
        ConfigError: When the file cannot be read as Python.
    """
    try:
        if path.stat().st_size > _MAX_SOURCE_BYTES:
            raise ConfigError(f"{path} has more than {_MAX_SOURCE_BYTES} bytes", hint="give a script of the checkout")
        tree = ast.parse(path.read_text("utf-8"))
    except (OSError, SyntaxError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not Python that can be read: {error}") from error
    strings = dict(_named_strings(tree))
    templates = [text for text in strings.values() if _REQUIRED_FIELDS <= set(_FIELD.findall(text)) <= _FIELDS]
    criteria = _criteria(tree, strings)
    if len(set(templates)) != 1 or criteria.keys() != LONG_NAMES.keys():
        return {}

    def prompt(metric: str) -> str:
        fields = {"caption": PLACEHOLDER, "criteria": criteria[metric], "aspect": LONG_NAMES[metric].replace("_", " ")}
        return _FIELD.sub(lambda field: fields[field[1]], templates[0])

    return {metric: prompt(metric) for metric in LONG_NAMES}


def _named_strings(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield name and text of every string that is given a name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and (text := _text(node.value)) is not None:
            for target in node.targets:
                if isinstance(target, ast.Name):
                    yield target.id, text


def _criteria(tree: ast.AST, strings: dict[str, str]) -> dict[str, str]:
    """Return the criteria of every metric, from the first dictionary that has all of them."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Dict):
            continue
        entries = {_text(key): value for key, value in zip(node.keys, node.values, strict=True)}
        criteria = {}
        for metric, long_name in LONG_NAMES.items():
            value = entries.get(long_name)
            text = strings.get(value.id) if isinstance(value, ast.Name) else _text(value)
            if text is not None:
                criteria[metric] = text
        if criteria.keys() == LONG_NAMES.keys():
            return criteria
    return {}


def _text(node: ast.AST | None) -> str | None:
    """Return the string that an expression is, None for any other."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None
