"""Benchmarks for vision-language models: generation and likelihood scoring, intervals, exact paired comparison.

Importing this package is cheap: numpy, pyarrow and Pillow are imported when a name that needs them is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from oqvl_shards.lazy_names import lazy_names

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

__getattr__ = lazy_names(__name__, __file__)
