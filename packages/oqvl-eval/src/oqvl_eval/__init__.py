"""Benchmarks for vision-language models: generation and likelihood scoring, intervals, exact paired comparison."""

from oqvl_eval.answerer import Answerer, Prompt
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
    "Prompt",
    "ScoreConfig",
    "compare",
    "evaluate",
    "read_benchmark",
    "score",
    "write_benchmark",
]
