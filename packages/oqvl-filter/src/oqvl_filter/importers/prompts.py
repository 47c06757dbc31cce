"""Read the prompts of MLM-Filter from a user's own checkout: its text is parsed as Python and never run.

The released checkpoints of MLM-Filter answer best to the exact words they were trained on, which belong to its authors.
A scoring script there contains one template with the replacement fields `caption`, `criteria` and optionally `aspect`,
a string of criteria per metric, and a dictionary from the metrics' long names to those strings. The aspect is the
metric's long name in words. The wording differs between scripts, as each goes with a checkpoint of its own.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from oqvl_filter.scorers.judges.prompt_set import PLACEHOLDER, PromptSet
from oqvl_shards.errors import ConfigError

_LONG_NAMES = {
    "itm": "image_text_matching",
    "odf": "object_detail_fulfillment",
    "ctq": "caption_text_quality",
    "su": "semantic_understanding",
}
"""The long name of each metric (arXiv 2403.02677, section 3)."""

_FIELD = re.compile(r"\{(\w+)\}")
_REQUIRED_FIELDS = {"caption", "criteria"}
_FIELDS = _REQUIRED_FIELDS | {"aspect"}
_MAX_SOURCE_BYTES = 4 << 20


def read_checkout(source: Path, name: str) -> PromptSet:
    """Return the prompts in a scoring script, or in the scripts of a folder.

    Args:
        source: A script, or a folder whose scripts all have the same prompts.
        name: Name of the prompt set.

    Raises:
        ConfigError: If there is no such file, it is not Python, no script has a prompt for every metric, or the prompts
            of several scripts differ.
    """
    if not source.exists():
        raise ConfigError(f"there is no file at {source}", hint="check source=")
    paths = sorted(source.rglob("*.py")) if source.is_dir() else [source]
    prompts_by_script: dict[Path, dict[str, str]] = {}
    for path in paths:
        try:
            prompts = _prompts_of(path)
        except ConfigError:
            # A checkout may hold files of any kind; only a file that the user named must be a script.
            if not source.is_dir():
                raise
            continue
        if prompts:
            prompts_by_script[path] = prompts
    if not prompts_by_script:
        raise ConfigError(
            f"{source} holds no prompts: no script with a template of {{caption}} and {{criteria}} and a dictionary "
            f"from {', '.join(_LONG_NAMES.values())} to their criteria",
            hint="give a scoring script of the checkout, or its folder",
        )
    first, *others = prompts_by_script
    if any(prompts_by_script[other] != prompts_by_script[first] for other in others):
        paths = ", ".join(str(path) for path in prompts_by_script)
        raise ConfigError(
            f"{source}: the prompts of {len(prompts_by_script)} scripts differ: {paths}",
            hint="give the script that goes with your checkpoint",
        )
    return PromptSet(name=name, max_score=100, prompts=prompts_by_script[first])


def _prompts_of(path: Path) -> dict[str, str]:
    """Return the prompt of every metric; empty if the file is another kind of program.

    Raises:
        ConfigError: If the file cannot be read as Python.
    """
    try:
        if path.stat().st_size > _MAX_SOURCE_BYTES:
            raise ConfigError(f"{path} has more than {_MAX_SOURCE_BYTES} bytes", hint="give a script of the checkout")
        tree = ast.parse(path.read_text("utf-8"))
    except (OSError, SyntaxError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path} cannot be parsed as Python: {error}") from error
    strings = dict(_named_strings(tree))
    templates = [text for text in strings.values() if _REQUIRED_FIELDS <= set(_FIELD.findall(text)) <= _FIELDS]
    criteria = _criteria(tree, strings)
    if len(set(templates)) != 1 or criteria.keys() != _LONG_NAMES.keys():
        return {}

    def prompt(metric: str) -> str:
        fields = {"caption": PLACEHOLDER, "criteria": criteria[metric], "aspect": _LONG_NAMES[metric].replace("_", " ")}
        return _FIELD.sub(lambda field: fields[field[1]], templates[0])

    return {metric: prompt(metric) for metric in _LONG_NAMES}


def _named_strings(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield name and text of every string that is assigned to a name."""
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
        for metric, long_name in _LONG_NAMES.items():
            value = entries.get(long_name)
            text = strings.get(value.id) if isinstance(value, ast.Name) else _text(value)
            if text is not None:
                criteria[metric] = text
        if criteria.keys() == _LONG_NAMES.keys():
            return criteria
    return {}


def _text(node: ast.AST | None) -> str | None:
    """Return the value of a string literal; None for any other expression."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None
