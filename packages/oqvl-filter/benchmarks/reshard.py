"""Reshard half of a pool: `oqvl-filter reshard` against a loop over webdataset's reader and `ShardWriter`.

Both read the same shards, keep the same samples and write shards of the same size. The loop does not decode (it hands
the bytes through), which is the fastest that webdataset offers. They take turns, and the turn with the least CPU time
counts, because other work on the machine only ever adds to it. Beside the whole:

    read   every member of the pool: an index of the tars and `pread`, against webdataset's reader
    indexed_read   the same once the tars are indexed, which a pass over many members does once
    copy   what is kept, once it is found, hashed and synced: against `ShardWriter`, fed from memory, which does neither
    sha256 of as many bytes as are copied: no reshard that records digests can take less; `copy_unhashed` is without it
    loop_by_copy_unhashed   the whole loop, which reads and writes, against our copy alone, without sha256

    python packages/oqvl-filter/benchmarks/reshard.py [--samples 10000] [--repeats 12] [--output result.json]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import webdataset

from oqvl_filter import ReshardConfig, run
from oqvl_filter.resharding.copying import CopyJob, copy_samples, fill_shards
from oqvl_filter.resharding.sample_table import PoolShard, SampleTable, find_samples, join_samples
from oqvl_filter.subset import SUBSET_FILE, write_subset
from oqvl_shards.config import StageConfig
from oqvl_shards.dataset import describe_file, open_dataset, write_manifest
from oqvl_shards.manifest import Account, ImageTextDetails, Lineage, Manifest, SubsetDetails
from oqvl_shards.tar.reader import ShardReader
from oqvl_shards.tar.writer import TarWriter
from oqvl_shards.uid import array_to_uids, uids_to_array

SAMPLES_PER_SHARD = 1000


def write_pool(directory: Path, num_samples: int) -> None:
    """Write a pool of samples with 50 kB images (random bytes: nothing here looks into them), captions and uids."""
    generator = random.Random(0)
    shards = []
    for first in range(0, num_samples, SAMPLES_PER_SHARD):
        with TarWriter(directory / f"{first // SAMPLES_PER_SHARD:05d}.tar") as tar:
            for number in range(first, first + SAMPLES_PER_SHARD):
                uid = hashlib.md5(str(number).encode()).hexdigest()
                tar.add(f"{number:09d}.jpg", generator.randbytes(generator.randint(30_000, 70_000)))
                tar.add(f"{number:09d}.json", json.dumps({"uid": uid}).encode())
                tar.add(f"{number:09d}.txt", f"caption number {number}".encode())
        shards.append(tar.shard(SAMPLES_PER_SHARD, directory))
    account = Account(num_in=num_samples, num_kept=num_samples)
    lineage = Lineage.derive("benchmark", "0", StageConfig())
    write_manifest(
        directory,
        Manifest(name="pool", details=ImageTextDetails(), shards=tuple(shards), account=account, lineage=lineage),
    )


def reshard_with_webdataset(pool: Path, uids: frozenset[str], output: Path) -> int:
    """Write the samples whose uid is in `uids`; return how many there were."""
    samples = (sample for sample in webdataset_reader(pool) if json.loads(sample["json"])["uid"] in uids)
    return write_with_webdataset(samples, output)


def webdataset_reader(pool: Path) -> Iterator[dict[str, Any]]:
    """Return webdataset's samples, undecoded."""
    tars = [str(path) for path in sorted(pool.glob("*.tar"))]
    return iter(webdataset.WebDataset(tars, shardshuffle=False))


def write_with_webdataset(samples: Iterable[dict[str, Any]], output: Path) -> int:
    """Write samples with `ShardWriter`; return how many there were."""
    output.mkdir()
    count = 0
    with webdataset.ShardWriter(str(output / "%05d.tar"), maxcount=SAMPLES_PER_SHARD, verbose=0) as writer:
        for sample in samples:
            writer.write({key: value for key, value in sample.items() if not key.startswith("__") or key == "__key__"})
            count += 1
    return count


def read_all(pool: Path) -> None:
    """Index every shard, and read every member."""
    for path in sorted(pool.glob("*.tar")):
        with ShardReader(path) as reader:
            read_indexed([reader])


def read_indexed(readers: Sequence[ShardReader]) -> None:
    """Read every member of shards that are indexed."""
    for reader in readers:
        for sample in reader.samples:
            for member in sample.members:
                reader.read(member)


def exhaust(samples: Iterable[object]) -> None:
    """Go through `samples`."""
    for _ in samples:
        pass


def copy_found(found: SampleTable, output: Path) -> None:
    """Copy samples whose places are known."""
    for index, part in enumerate(fill_shards(found, np.arange(len(found)), SAMPLES_PER_SHARD, None)):
        copy_samples(CopyJob(f"{index:05d}.tar", part, "original", output, "0" * 64))


def hash_blocks(num_bytes: int) -> None:
    """Hash so many bytes, a mebibyte at a time."""
    block, digest = bytes(1 << 20), hashlib.sha256()
    for _ in range(num_bytes >> 20):
        digest.update(block)


def measure(function: Callable[[], object]) -> dict[str, float]:
    """Return the wall and CPU seconds of one call."""
    wall, cpu = time.perf_counter(), time.process_time()
    function()
    return {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}


def write_half(directory: Path, num_samples: int) -> frozenset[str]:
    """Write a subset of half of the pool, drawn at random; return its uids."""
    numbers = random.Random(1).sample(range(num_samples), num_samples // 2)
    uids = uids_to_array([hashlib.md5(str(number).encode()).hexdigest() for number in numbers])
    write_subset(uids, directory / SUBSET_FILE)
    manifest = Manifest(
        name="half",
        details=SubsetDetails(rule="a random half", num_pool=num_samples),
        shards=(describe_file(directory / SUBSET_FILE, directory, len(uids)),),
        account=Account(num_in=num_samples, num_kept=len(uids), rejected={"not drawn": num_samples - len(uids)}),
        lineage=Lineage.derive("benchmark", "0", StageConfig()),
    )
    write_manifest(directory, manifest)
    return frozenset(array_to_uids(uids))


def compare(directory: Path, num_samples: int, num_repeats: int) -> tuple[dict[str, list[dict[str, float]]], int]:
    """Let all parts take turns; return their times, and the bytes that are kept."""
    pool, half = directory / "pool", directory / "half"
    write_pool(pool, num_samples)
    uids = write_half(half, num_samples)
    shards = open_dataset(pool).manifest.shards
    paths = [PoolShard(pool / shard.path, shard.path, shard.num_samples, "pool") for shard in shards]
    found, _ = join_samples([find_samples(path, (half / SUBSET_FILE,)) for path in paths])
    memory = [sample for sample in webdataset_reader(pool) if json.loads(sample["json"])["uid"] in uids]
    output, num_bytes = directory / "output", int(found.num_bytes.sum())
    readers = [ShardReader(path.path) for path in paths]
    config = ReshardConfig(
        pools=(pool,), subset=half, output=output, name="kept", samples_per_shard=SAMPLES_PER_SHARD, keys="original"
    )
    parts: dict[str, Callable[[], object]] = {
        "reshard": lambda: run.reshard(config),
        "reshard_webdataset": lambda: reshard_with_webdataset(pool, uids, output),
        "read": lambda: read_all(pool),
        "indexed_read": lambda: read_indexed(readers),
        "read_webdataset": lambda: exhaust(webdataset_reader(pool)),
        "copy": lambda: copy_found(found, output),
        "copy_webdataset": lambda: write_with_webdataset(memory, output),
        "sha256": lambda: hash_blocks(num_bytes),
    }
    times: dict[str, list[dict[str, float]]] = {name: [] for name in parts}
    for _ in range(num_repeats):
        for name, part in parts.items():
            times[name].append(measure(part))
            shutil.rmtree(output, ignore_errors=True)
    return times, num_bytes


def processor() -> str:
    """Return the processor's name."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor()
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=10_000, help="samples in the pool, a multiple of 1000")
    parser.add_argument("--repeats", type=int, default=12, help="turns of each")
    parser.add_argument("--output", type=Path, help="where the JSON goes; stdout by default")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        times, num_bytes = compare(Path(directory), arguments.samples, arguments.repeats)
    kept = arguments.samples // 2
    best = {name: min(run["cpu_s"] for run in runs) for name, runs in times.items()}
    best["copy_unhashed"] = best["copy"] - best["sha256"]
    result = {
        "benchmark": "reshard half of a pool",
        "date": datetime.now(UTC).date().isoformat(),
        "hardware": {
            "processor": processor(),
            "cores": os.cpu_count(),
            "processes": 1,
            "page_cache": "warm",
            "load_average": round(os.getloadavg()[0], 1),
        },
        "versions": {name: version(name) for name in ("oqvl-filter", "oqvl-shards", "webdataset", "numpy")}
        | {"python": platform.python_version()},
        "samples": {"pool": arguments.samples, "kept": kept, "kept_bytes": num_bytes, "mean_image_bytes": 50_000},
        "cpu_s": {name: round(value, 3) for name, value in best.items()},
        "kept_samples_per_cpu_second": {
            name: round(kept / best[name]) for name in ("reshard", "reshard_webdataset", "copy", "copy_webdataset")
        },
        "sha256_mb_per_cpu_second": round(num_bytes / best["sha256"] / 1e6),
        "times_less_cpu": {
            "reshard": round(best["reshard_webdataset"] / best["reshard"], 1),
            "read": round(best["read_webdataset"] / best["read"], 1),
            "indexed_read": round(best["read_webdataset"] / best["indexed_read"], 1),
            "copy": round(best["copy_webdataset"] / best["copy"], 1),
            "copy_unhashed": round(best["copy_webdataset"] / best["copy_unhashed"], 1),
            "loop_by_copy_unhashed": round(best["reshard_webdataset"] / best["copy_unhashed"], 1),
        },
        "runs": times,
    }
    text = json.dumps(result, indent=2) + "\n"
    if arguments.output is None:
        print(text, end="")
    else:
        arguments.output.write_text(text)


if __name__ == "__main__":
    main()
