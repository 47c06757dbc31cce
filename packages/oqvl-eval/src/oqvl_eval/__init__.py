"""Benchmarks for vision-language models: generation and likelihood scoring, intervals, exact paired comparison."""
