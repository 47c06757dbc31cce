"""Measure what `packing.py` does not: two constraints, streams, hard and huge inputs.

    python packages/oqvl-pack/benchmarks/scenarios.py [--scenario two_constraints ...] [--output result.json]

`--scenario billion` packs a billion captions. It needs 12 GB of memory and runs only if it is named.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import resource
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from oqvl_pack import StreamingPacker, pack

CAPACITY = 4096
Items = tuple[np.ndarray, np.ndarray]  # tokens and images of each item


def captions(num: int, seed: int = 0) -> Items:
    """One image of 144 visual tokens and a log-normal caption."""
    text = np.random.default_rng(seed).lognormal(3.09, 0.7, num)
    return np.minimum(144 + np.maximum(1, np.rint(text)), CAPACITY).astype(np.int64), np.ones(num, dtype=np.int64)


def interleaved(num: int, seed: int = 0) -> Items:
    """Web documents with 1 to 10 images (geometric) and log-normal text."""
    rng = np.random.default_rng(seed)
    images = np.minimum(rng.geometric(0.35, num), 10)
    text = np.maximum(8, np.rint(rng.lognormal(5.5, 0.9, num)))
    return np.minimum(144 * images + text, CAPACITY).astype(np.int64), images.astype(np.int64)


def mixture(num: int, seed: int = 0) -> Items:
    """60% captions, 25% interleaved documents, 15% text without images."""
    counts = num * 60 // 100, num * 25 // 100
    rng = np.random.default_rng(seed)
    text = np.clip(np.rint(rng.lognormal(6, 1, num - sum(counts))), 8, CAPACITY).astype(np.int64)
    parts = captions(counts[0], seed + 1), interleaved(counts[1], seed + 2), (text, np.zeros_like(text))
    order = rng.permutation(num)
    lengths, images = (np.concatenate(column)[order] for column in zip(*parts, strict=True))
    return lengths, images


def timed(run: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    wall_start, cpu_start = time.perf_counter(), time.process_time()
    result = run()
    wall, cpu = time.perf_counter() - wall_start, time.process_time() - cpu_start
    return result, {"wall_seconds": round(wall, 3), "cpu_seconds": round(cpu, 3)}


def two_constraints() -> list[dict[str, Any]]:
    """100,000 items, tokens and images, for several limits of images per bin."""
    rows = []
    for name, make in (("captions", captions), ("mixture", mixture), ("interleaved", interleaved)):
        lengths, images = make(100_000)
        for limit in (12, 16, 24):
            keywords: dict[str, Any] = {"weights": images, "weight_capacity": limit}
            plan, seconds = timed(lambda lengths=lengths, keywords=keywords: pack(lengths, CAPACITY, **keywords))
            first_fit = pack(lengths, CAPACITY, algorithm="ffd", **keywords).num_bins
            bounds = plan.lower_bounds
            rows.append(
                {
                    "items": name,
                    "images_per_bin": limit,
                    "num_types": len(np.unique(np.stack([lengths, images]), axis=1).T),
                    "bound_of_tokens": bounds.volume,
                    "bound_of_images": bounds.weight_volume,
                    "lower_bound": plan.lower_bound,
                    "num_bins": plan.num_bins,
                    "gap_percent": round(100 * plan.gap, 3),
                    "first_fit_decreasing": first_fit,
                    **seconds,
                }
            )
            print(rows[-1], flush=True)
    return rows


def streaming() -> list[dict[str, Any]]:
    """20,000 items as a stream, compared with the same items packed at once."""
    rng = np.random.default_rng(0)
    inputs = {
        "captions": captions(20_000)[0],
        "text": np.clip(rng.lognormal(6, 1, 20_000), 1, CAPACITY).astype(np.int64),
        "many over half the capacity": rng.integers(820, 3277, 20_000),
    }
    rows = []
    for name, lengths in inputs.items():
        at_once = pack(lengths, CAPACITY).num_bins
        stream = list(enumerate(lengths.tolist()))
        for buffer_size in (32, 64, 256):
            packer = StreamingPacker(CAPACITY, buffer_size=buffer_size)
            num_bins, seconds = timed(lambda packer=packer, stream=stream: sum(1 for _ in packer.pack(stream)))
            windows = range(0, len(lengths), buffer_size)
            in_windows = [pack(lengths[i : i + buffer_size], CAPACITY, algorithm="ffd").num_bins for i in windows]
            rows.append(
                {
                    "items": name,
                    "buffer_size": buffer_size,
                    "num_bins": num_bins,
                    "at_once": at_once,
                    "windows_of_first_fit_decreasing": sum(in_windows),
                    "utilization_percent": round(100 * packer.utilization, 3),
                    **seconds,
                }
            )
            print(rows[-1], flush=True)
    return rows


def over_half() -> list[dict[str, Any]]:
    """A million items just over half the capacity: no two share a bin."""
    lengths = np.random.default_rng(0).integers(CAPACITY // 2 + 1, CAPACITY // 2 + 100, 1_000_000)
    return [_pack_and_list(lengths)]


def billion() -> list[dict[str, Any]]:
    """A billion captions, including the list of items of every bin."""
    lengths = np.empty(1_000_000_000, dtype=np.uint16)
    chunk = 10_000_000
    for start in range(0, len(lengths), chunk):
        lengths[start : start + chunk] = captions(chunk, start)[0]
    return [_pack_and_list(lengths)]


def _pack_and_list(lengths: np.ndarray) -> dict[str, Any]:
    def run() -> Any:
        plan = pack(lengths, CAPACITY)
        assert len(plan.indices) == len(lengths)
        return plan

    plan, seconds = timed(run)
    row = {
        "num_items": len(lengths),
        "num_bins": plan.num_bins,
        "lower_bound": plan.lower_bound,
        "algorithm": plan.algorithm,
        "peak_gigabytes": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9, 2),
        **seconds,
    }
    print(row, flush=True)
    return row


SCENARIOS: dict[str, Callable[[], list[dict[str, Any]]]] = {
    "two_constraints": two_constraints,
    "streaming": streaming,
    "over_half": over_half,
    "billion": billion,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenario", action="append", choices=list(SCENARIOS), help="default: all but billion")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    arguments = parser.parse_args()
    chosen = arguments.scenario or [name for name in SCENARIOS if name != "billion"]
    _pack_and_list(captions(200_000)[0])  # compiles the kernels, or loads them
    report = {
        "benchmark": "packing scenarios",
        "date": datetime.date.today().isoformat(),
        "hardware": {"num_cores": os.cpu_count(), "load_average": round(os.getloadavg()[0], 1)},
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("numba", "numpy", "oqvl-pack")},
        },
        "capacity": CAPACITY,
        **{name: SCENARIOS[name]() for name in chosen},
    }
    if arguments.output:
        arguments.output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
