"""How long selections take: rules over millions of scored pairs, and set algebra on sorted lists of uids.

    python packages/oqvl-filter/benchmarks/selection.py [--rows 5000000] [--uids 100000000] [--output result.json]

Scores: two datasets (a CLIP score; the four metrics of MLM-Filter) of one pool, 10,000 rows a file, as `oqvl-filter
score` writes them, selected from with a cache of columns. `first` is a selection whose columns are not yet in the cache
(the uids come into it with the first rule), `samples` finding the samples, `columns` reading those that a rule names,
`rule` the rule alone, `whole` all of `oqvl-filter select`, lineage and output file included, `uncached` that without a
cache; CPU seconds are of all threads. Lists: two sorted `.npy`
files of uids at random that share half; each operation runs in a process of its own, whose peak memory is counted.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyarrow as pa

from oqvl_filter import run
from oqvl_filter.candidates import read_candidates
from oqvl_filter.column_cache import ColumnCache
from oqvl_filter.config import SelectConfig
from oqvl_filter.score_file import IDENTITY_FIELDS, REJECT_FIELD, write_table
from oqvl_filter.selection.selection import resolve_rule, select_candidates
from oqvl_filter.uid_array import format_uids
from oqvl_shards.config import StageConfig
from oqvl_shards.dataset import describe_file, open_dataset, write_manifest
from oqvl_shards.manifest import Account, FieldSpec, ImageTextDetails, Kind, Lineage, Manifest, ScoresDetails
from oqvl_shards.uid import UID_DTYPE

ROWS_PER_FILE = 10_000

RULES = {
    "thresholds": "clip >= 0.28 and su >= 85",
    "top": "clip in top(15%)",
    "or_not": "(su >= 85 or clip in top(15%)) and not itm < 20 and odf is not null",
    "then_per": "clip >= quantile(0.3) then su in top(50%) per source",
}
OPERATIONS = {
    "union": "uid in 'a.npy' or uid in 'b.npy'",
    "intersection": "uid in 'a.npy' and uid in 'b.npy'",
    "difference": "uid in 'a.npy' and not uid in 'b.npy'",
}


def random_uids(generator: np.random.Generator, count: int) -> np.ndarray:
    """Return `count` uids [count] of dtype `UID_DTYPE`."""
    return generator.integers(0, 2**64, (count, 2), dtype=np.uint64).view(UID_DTYPE).ravel()


def write_scores(directory: Path, pool: Manifest, name: str, columns: dict[str, np.ndarray], uids: pa.Array) -> None:
    """Write a score dataset of `pool`, a hundredth of whose rows were rejected."""
    rejected = np.arange(len(uids)) % 100 == 7
    shards = []
    for index, start in enumerate(range(0, len(uids), ROWS_PER_FILE)):
        rows = slice(start, start + ROWS_PER_FILE)
        part = uids[rows]
        mask = rejected[rows]
        reasons = pa.array(np.where(mask, "image_broken", ""), pa.string(), mask=~mask)
        identity = {"uid": part, "uid_derived": pa.array(np.zeros(len(part), bool)), "key": part}
        scores = {key: pa.array(values[rows], mask=mask) for key, values in columns.items()}
        path = directory / f"{index:05d}.parquet"
        write_table(pa.table({**identity, **scores, "reject": reasons}), path)
        shards.append(describe_file(path, directory, len(part)))
    fields = tuple(FieldSpec(name=key, dtype=str(pa.array(values[:1]).type)) for key, values in columns.items())
    manifest = Manifest(
        name=f"pool.{name}",
        details=ScoresDetails(scorer=name, fingerprint="0" * 64, columns=tuple(columns)),
        shards=tuple(shards),
        fields=(*IDENTITY_FIELDS, *fields, REJECT_FIELD),
        account=Account(num_in=len(uids), num_kept=len(uids)),
        lineage=Lineage.derive("benchmark", "0", StageConfig(), [pool]),
    )
    write_manifest(directory, manifest)


def write_data(directory: Path, num_rows: int) -> None:
    """Write a pool without shards, which a selection never opens, and two score datasets of it."""
    generator = np.random.default_rng(0)
    lineage = Lineage.derive("benchmark", "0", StageConfig())
    account = Account(num_in=0, num_kept=0)
    pool = Manifest(name="pool", details=ImageTextDetails(), shards=(), account=account, lineage=lineage)
    write_manifest(directory / "pool", pool)
    uids = format_uids(random_uids(generator, num_rows))
    clip = generator.normal(0.22, 0.06, num_rows).astype(np.float16).astype(np.float32)
    write_scores(directory / "clip", pool, "clip", {"clip_score": clip}, uids)
    metrics = {name: generator.integers(0, 101, num_rows, dtype=np.int16) for name in ("itm", "odf", "ctq", "su")}
    write_scores(directory / "mlm", pool, "mlm", metrics, uids)


def measure_rules(directory: Path, num_repeats: int) -> dict[str, dict[str, float | str]]:
    """Return for each rule the seconds of the fastest of some runs."""
    found: dict[str, dict[str, float | str]] = {}
    scores = {name: [open_dataset(directory / name, Kind.SCORES)] for name in ("clip", "mlm")}
    pool = open_dataset(directory / "pool")
    for name, text in RULES.items():
        values = {
            "pools": directory / "pool",
            "scores": {key: directory / key for key in scores},
            "keep": text,
            "output": directory / f"subset-{name}",
        }
        cached = SelectConfig.from_values({**values, "cache": directory / "cache"})
        times: dict[str, list[float]] = {"samples": [], "columns": [], "rule": [], "whole": [], "whole_cpu": []}
        for _ in range(num_repeats):
            start = time.perf_counter()
            candidates = read_candidates([pool], scores, ColumnCache(directory / "cache"))
            times["samples"].append(time.perf_counter() - start)
            for part in ("columns", "rule"):
                start = time.perf_counter()
                select_candidates(cached, resolve_rule(text, scores), candidates, {})
                times[part].append(time.perf_counter() - start)
            num_kept, wall, cpu = measure_select(cached)
            times["whole"].append(wall)
            times["whole_cpu"].append(cpu)
        first = times["samples"][0] + times["columns"][0] + times["rule"][0]
        best = {"first": first} | {part: min(values) for part, values in times.items()}
        best["columns"] -= best["rule"]
        _, best["uncached"], best["uncached_cpu"] = measure_select(SelectConfig.from_values(values))
        found[name] = {"rule_text": text, "num_kept": num_kept} | {key: round(value, 3) for key, value in best.items()}
    return found


def measure_select(config: SelectConfig) -> tuple[int, float, float]:
    """Return how many uids a selection kept, and its wall and CPU seconds; the output is deleted."""
    wall, cpu = time.perf_counter(), time.process_time()
    num_kept = run.select(config).account.num_kept
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    shutil.rmtree(config.output)
    return num_kept, wall, cpu


def write_lists(directory: Path, count: int) -> None:
    """Write `a.npy` and `b.npy`: `count` sorted uids each, about half of them in both, mixed at random."""
    generator = np.random.default_rng(0)
    num_all = count * 8 // 5
    uids = np.empty(num_all, dtype=UID_DTYPE)
    # Sums of random gaps are in order, so nothing has to be sorted.
    uids["f0"] = np.cumsum(generator.integers(0, 2**65 // num_all, num_all, dtype=np.uint64))
    uids["f1"] = generator.integers(0, 2**64, num_all, dtype=np.uint64)
    owner = generator.integers(0, 3, num_all, dtype=np.uint8)
    for name, other in (("a", 1), ("b", 2)):
        np.save(directory / f"{name}.npy", uids[owner != other][:count])


def measure_operation(directory: Path, operation: str) -> dict[str, float]:
    """Run one operation in a process of its own; return its seconds, its peak memory and how many uids it kept."""
    command = [sys.executable, __file__, "--operation", operation]
    result = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=True)
    return json.loads(result.stdout)


def run_operation(operation: str) -> dict[str, float]:
    """Run one operation on the lists in the working directory."""
    wall, cpu = time.perf_counter(), time.process_time()
    report = run.select(SelectConfig(keep=OPERATIONS[operation], output=Path(operation)))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    shutil.rmtree(operation)
    return {
        "wall_s": round(wall, 1),
        "cpu_s": round(cpu, 1),
        "peak_gb": round(peak / 1e9, 2),
        "num_kept": report.account.num_kept,
    }


def processor() -> str:
    """Return the processor's name."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=5_000_000, help="scored pairs; 0: leave this part out")
    parser.add_argument("--uids", type=int, default=100_000_000, help="uids of each list; 0: leave this part out")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each rule; the fastest counts")
    parser.add_argument("--operation", choices=sorted(OPERATIONS), help="for the processes that this one starts")
    parser.add_argument("--output", type=Path, help="where the JSON goes; stdout by default")
    arguments = parser.parse_args()
    if arguments.operation:
        print(json.dumps(run_operation(arguments.operation)))
        return
    result: dict[str, object] = {
        "benchmark": "selection",
        "date": datetime.now(UTC).date().isoformat(),
        "hardware": {"processor": processor(), "cores": os.cpu_count(), "page_cache": "warm"},
        "versions": {name: version(name) for name in ("oqvl-filter", "oqvl-shards", "numpy", "pyarrow")}
        | {"python": platform.python_version()},
    }
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        if arguments.rows:
            write_data(directory, arguments.rows)
            result |= {"rows": arguments.rows, "rules": measure_rules(directory, arguments.repeats)}
        if arguments.uids:
            write_lists(directory, arguments.uids)
            operations = {operation: measure_operation(directory, operation) for operation in OPERATIONS}
            result |= {"uids_of_each_list": arguments.uids, "operations": operations}
    text = json.dumps(result, indent=2) + "\n"
    if arguments.output is None:
        print(text, end="")
    else:
        arguments.output.write_text(text)


if __name__ == "__main__":
    main()
