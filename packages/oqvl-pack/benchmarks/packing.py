"""Measure seconds and bins to pack caption lengths with `oqvl_pack` and with textbook algorithms in Python.

A length is 144 visual tokens plus a log-normal caption (median 22, mean 28 tokens), seeded. Every packer returns the
items of every bin. CPU seconds count all threads; the result is the minimum over the rounds.

    python packages/oqvl-pack/benchmarks/packing.py [--rounds 5] [--peers PYTHON] [--output result.json]
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from oqvl_pack.binpacking import compiled
from oqvl_pack.binpacking.packing import pack

CAPACITY = 4096
SIZES = {"quadratic": 10_000, "textbook": 1_000_000, "corpus": 29_000_000}


def caption_lengths(num: int) -> np.ndarray:
    """Return `num` lengths in tokens, uint16."""
    captions = np.random.default_rng(20261122).lognormal(3.09, 0.7, num)
    return np.minimum(144 + np.maximum(1, np.rint(captions)), CAPACITY).astype(np.uint16)


def pack_oqvl(lengths: np.ndarray, algorithm: Any = "best", seed: int | None = None) -> int:
    plan = pack(lengths, CAPACITY, algorithm=algorithm)
    plan = plan if seed is None else plan.shuffled(seed)
    assert len(plan.indices) == len(lengths)
    return len(plan)


def pack_without_numba(lengths: np.ndarray) -> int:
    import_kernels = compiled._import_kernels
    compiled._import_kernels = lambda: None  # pyrefly: ignore
    try:
        return pack_oqvl(lengths)
    finally:
        compiled._import_kernels = import_kernels


def pack_textbook(lengths: np.ndarray, algorithm: Callable[[list[int], int], list[list[int]]]) -> int:
    return len(algorithm(lengths.tolist(), CAPACITY))


def first_fit_decreasing_tree(lengths: list[int], capacity: int) -> list[list[int]]:
    """First-fit decreasing in O(n log n): a tree over the bins; each node holds the largest free space below it."""
    num_leaves = 1 << max(1, (len(lengths) - 1).bit_length())
    free = [capacity] * (2 * num_leaves)
    bins: list[list[int]] = []
    for item in sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True):
        length = lengths[item]
        node = 1
        while node < num_leaves:
            node *= 2
            if free[node] < length:
                node += 1
        index = node - num_leaves
        if index == len(bins):
            bins.append([])
        bins[index].append(item)
        free[node] -= length
        node //= 2
        while node:
            left, right = free[2 * node], free[2 * node + 1]
            free[node] = left if left >= right else right
            node //= 2
    return bins


def best_fit_decreasing_tree(lengths: list[int], capacity: int) -> list[list[int]]:
    """Best-fit decreasing in O(n log capacity): a tree over the amounts of free space finds the smallest sufficient."""
    num_leaves = 1 << capacity.bit_length()
    largest = [0] * (2 * num_leaves)  # largest amount of free space below a node that some bin has
    waiting: list[list[list[int]]] = [[] for _ in range(capacity + 1)]
    bins: list[list[int]] = []
    for item in sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True):
        length = lengths[item]
        if largest[1] < length:
            bins.append([])
            chosen, free = bins[-1], capacity
        else:
            node = 1
            while node < num_leaves:
                node *= 2
                if largest[node] < length:
                    node += 1
            free = node - num_leaves
            chosen = waiting[free].pop()
            if not waiting[free]:
                _set_leaf(largest, node, 0)
        chosen.append(item)
        free -= length
        if free:
            if not waiting[free]:
                _set_leaf(largest, num_leaves + free, free)
            waiting[free].append(chosen)
    return bins


def _set_leaf(largest: list[int], node: int, value: int) -> None:
    largest[node] = value
    node //= 2
    while node:
        left, right = largest[2 * node], largest[2 * node + 1]
        largest[node] = left if left >= right else right
        node //= 2


def first_fit_decreasing_quadratic(lengths: list[int], capacity: int) -> list[list[int]]:
    """First-fit decreasing as in training scripts: try every bin in turn, and add it up every time."""
    bins: list[list[int]] = []
    for item in sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True):
        for members in bins:
            if sum(lengths[member] for member in members) + lengths[item] <= capacity:
                members.append(item)
                break
        else:
            bins.append([item])
    return bins


def measure(run: Callable[[], int], rounds: int) -> dict[str, float]:
    """Return the number of bins, and the minimum of wall-clock and CPU seconds over `rounds`."""
    wall, cpu = [], []
    num_bins = 0
    for _ in range(rounds):
        wall_start, cpu_start = time.perf_counter(), time.process_time()
        num_bins = run()
        wall.append(time.perf_counter() - wall_start)
        cpu.append(time.process_time() - cpu_start)
    return {"num_bins": num_bins, "wall_seconds": round(min(wall), 4), "cpu_seconds": round(min(cpu), 4)}


def measure_peers(lengths: np.ndarray, interpreter: Path) -> dict[str, dict[str, Any]]:
    """Run `peers.py` with the interpreter of an environment that has other packers."""
    with tempfile.TemporaryDirectory() as directory:
        np.save(Path(directory) / "lengths.npy", lengths)
        script = Path(__file__).with_name("peers.py")
        command = [interpreter, script, Path(directory) / "lengths.npy", str(CAPACITY)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def measure_size(num: int, rounds: int, peers: Path | None) -> dict[str, Any]:
    lengths = caption_lengths(num)
    bound = pack(lengths, CAPACITY).lower_bound
    packers: dict[str, tuple[Callable[[], int], int]] = {
        "oqvl_pack best": (lambda: pack_oqvl(lengths), rounds),
        "oqvl_pack best, shuffled": (lambda: pack_oqvl(lengths, seed=1), rounds),
        "oqvl_pack best, numpy only": (lambda: pack_without_numba(lengths), rounds),
        "oqvl_pack bfd": (lambda: pack_oqvl(lengths, "bfd"), rounds),
        "oqvl_pack ffd": (lambda: pack_oqvl(lengths, "ffd"), rounds),
    }
    if num <= SIZES["textbook"]:
        packers["textbook bfd, O(n log C) Python"] = (lambda: pack_textbook(lengths, best_fit_decreasing_tree), 1)
        packers["textbook ffd, O(n log n) Python"] = (lambda: pack_textbook(lengths, first_fit_decreasing_tree), 1)
    if num <= SIZES["quadratic"]:
        packers["script ffd, quadratic Python"] = (lambda: pack_textbook(lengths, first_fit_decreasing_quadratic), 1)
    results = {}
    for name, (run, times) in packers.items():
        results[name] = measure(run, times)
    if peers is not None and num <= SIZES["textbook"]:
        results |= measure_peers(lengths, peers)
    fastest = results["oqvl_pack best"]["cpu_seconds"]
    for name, result in results.items():
        if "num_bins" in result:
            result["utilization"] = round(int(lengths.sum(dtype=np.int64)) / result["num_bins"] / CAPACITY, 6)
            result["times_cpu_of_best"] = round(result["cpu_seconds"] / fastest, 1)
        print(f"{num:>11,}  {name:32} {result}", flush=True)
    return {"num_items": num, "lower_bound": bound, "results": results}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="rounds per packer, except textbook packers (one)")
    parser.add_argument("--peers", type=Path, help="Python of an environment with other packers (see peers.py)")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    arguments = parser.parse_args()
    pack_oqvl(caption_lengths(200_000), seed=1)  # compiles the kernels, or loads them
    report = {
        "benchmark": "packing",
        "date": datetime.date.today().isoformat(),
        "hardware": {"cpu": _cpu_name(), "num_cores": os.cpu_count(), "load_average": round(os.getloadavg()[0], 1)},
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("numba", "numpy", "oqvl-pack")},
        },
        "capacity": CAPACITY,
        "rounds": arguments.rounds,
        "sizes": [measure_size(num, arguments.rounds, arguments.peers) for num in SIZES.values()],
    }
    if arguments.output:
        arguments.output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def _cpu_name() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


if __name__ == "__main__":
    main()
