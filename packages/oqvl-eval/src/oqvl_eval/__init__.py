"""Benchmarks for vision-language models: generation and likelihood scoring, intervals, exact paired comparison.

Importing this package is cheap: numpy, pyarrow and Pillow are imported when a name that needs them is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from oqvl_eval.answerer import Answerer
    from oqvl_eval.benchmark import Benchmark, read_benchmark, write_benchmark
    from oqvl_eval.config import CompareConfig, EvalConfig, ScoreConfig
    from oqvl_eval.item import ImageRef, Item
    from oqvl_eval.run import compare, evaluate, score

__all__ = [
    "Answerer",
    "Benchmark",
    "CompareConfig",
    "EvalConfig",
    "ImageRef",
    "Item",
    "ScoreConfig",
    "compare",
    "evaluate",
    "read_benchmark",
    "score",
    "write_benchmark",
]

_MODULE_OF = {
    "Answerer": "answerer",
    "Benchmark": "benchmark",
    "CompareConfig": "config",
    "EvalConfig": "config",
    "ImageRef": "item",
    "Item": "item",
    "ScoreConfig": "config",
    "compare": "run",
    "evaluate": "run",
    "read_benchmark": "benchmark",
    "score": "run",
    "write_benchmark": "benchmark",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
