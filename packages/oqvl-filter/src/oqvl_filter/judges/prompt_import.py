"""Read the prompts of MLM-Filter out of a user's own checkout: its text is parsed as Python and never run.

The released checkpoints of MLM-Filter answer best to the very words they were trained on, and those are its authors'.
The scripts there hold the prompts as string constants; a prompt is told by what it says of itself: it names its metric,
and a score up to 100. The place of the caption is a replacement field of whatever name.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from oqvl_filter.judges.prompt_set import PLACEHOLDER, PromptSet
from oqvl_shards.errors import ConfigError

METRIC_NAMES = {
    "itm": re.compile(r"image[\s_-]*text[\s_-]*match", re.IGNORECASE),
    "odf": re.compile(r"object[\s_-]*detail[\s_-]*fulfil", re.IGNORECASE),
    "ctq": re.compile(r"caption[\s_-]*text[\s_-]*quality", re.IGNORECASE),
    "su": re.compile(r"semantic[\s_-]*understanding", re.IGNORECASE),
}
"""How each metric is spelled out (arXiv 2403.02677, section 3)."""

_SCALE = re.compile(r"\b100\b")
_FIELD = re.compile(r"\{[^{}]*\}")
_MAX_SOURCE_BYTES = 4 << 20


def read_checkout(source: Path, name: str) -> PromptSet:
    """Return the prompts that a Python file, or the files of a folder, hold.

    Args:
        source: A file, or a folder; in a folder every metric is taken from the first file, by path, that has it.
        name: Name of the prompt set.

    Raises:
        ConfigError: When there is no such file, it is no Python, or a metric has no prompt.
    """
    paths = sorted(source.rglob("*.py")) if source.is_dir() else [source]
    prompts: dict[str, str] = {}
    for path in paths:
        for metric, prompt in _prompts_in(path, is_given=not source.is_dir()):
            prompts.setdefault(metric, prompt)
    missing = [metric for metric in METRIC_NAMES if metric not in prompts]
    if missing:
        raise ConfigError(
            f"{source} holds prompts for {sorted(prompts) or 'no metric'}, none for {missing}",
            hint="give the folder of the scoring scripts, or the script that scores a metric",
        )
    return PromptSet(name=name, max_score=100, prompts={metric: prompts[metric] for metric in METRIC_NAMES})


def _prompts_in(path: Path, is_given: bool) -> Iterator[tuple[str, str]]:
    try:
        if path.stat().st_size > _MAX_SOURCE_BYTES:
            raise ConfigError(f"{path} has more than {_MAX_SOURCE_BYTES} bytes", hint="give a script of the checkout")
        tree = ast.parse(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"there is no file at {path}", hint="check source=") from error
    except (OSError, SyntaxError, ValueError, RecursionError) as error:
        if is_given:
            raise ConfigError(f"{path} is not Python that can be read: {error}") from error
        return
    for text in _strings(tree):
        metrics = [metric for metric, pattern in METRIC_NAMES.items() if pattern.search(text)]
        if len(metrics) == 1 and _SCALE.search(text) and len(_FIELD.findall(text)) == 1:
            yield metrics[0], _FIELD.sub(lambda _: PLACEHOLDER, text)


def _strings(tree: ast.AST) -> Iterator[str]:
    """Yield every string of the program, as it stands after implicit joining; a replacement field stays one."""
    inner: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            inner.update(ast.walk(node))
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else PLACEHOLDER for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in inner:
            yield node.value
