"""lm-evaluation-harness at 4e7e0d4. Of the benchmarks that are scored here it has MMMU alone, in `mmmu`."""
