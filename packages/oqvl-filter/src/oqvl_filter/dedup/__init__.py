"""Copies within a pool and across pools, and pictures of benchmarks among training data."""
