"""Reshard half of a pool: `oqvl-filter reshard` against a loop over webdataset's reader and `ShardWriter`.

Both read the same shards, keep the same samples and write shards of the same size. The loop does not decode (it hands
the bytes through), which is the fastest that webdataset offers. The two take turns; the medians are compared.

    python packages/oqvl-filter/benchmarks/reshard.py [--samples 20000] [--repeats 5] [--output result.json]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import webdataset

from oqvl_filter import ReshardConfig, run
from oqvl_filter.subset import SUBSET_FILE, write_subset
from oqvl_shards.config import StageConfig
from oqvl_shards.manifest import (
    Account,
    ImageTextDetails,
    Lineage,
    Manifest,
    SubsetDetails,
    describe_file,
    write_manifest,
)
from oqvl_shards.tar_writer import TarWriter
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
    output.mkdir()
    tars = [str(path) for path in sorted(pool.glob("*.tar"))]
    count = 0
    with webdataset.ShardWriter(str(output / "%05d.tar"), maxcount=SAMPLES_PER_SHARD, verbose=0) as writer:
        for sample in webdataset.WebDataset(tars, shardshuffle=False):
            if json.loads(sample["json"])["uid"] in uids:
                writer.write(
                    {key: value for key, value in sample.items() if not key.startswith("__") or key == "__key__"}
                )
                count += 1
    return count


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


def compare(directory: Path, num_samples: int, num_repeats: int) -> dict[str, list[dict[str, float]]]:
    """Let the two take turns; return their times."""
    pool, half = directory / "pool", directory / "half"
    write_pool(pool, num_samples)
    uids = write_half(half, num_samples)
    times: dict[str, list[dict[str, float]]] = {"oqvl-filter": [], "webdataset": []}
    for repeat in range(num_repeats):
        ours, theirs = directory / f"ours-{repeat}", directory / f"theirs-{repeat}"
        config = ReshardConfig(
            pools=(pool,), subset=half, output=ours, name="kept", samples_per_shard=SAMPLES_PER_SHARD, keys="original"
        )
        times["oqvl-filter"].append(measure(lambda config=config: run.reshard(config)))
        times["webdataset"].append(measure(lambda theirs=theirs: reshard_with_webdataset(pool, uids, theirs)))
        for output in (ours, theirs):
            shutil.rmtree(output)
    return times


def processor() -> str:
    """Return the processor's name."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor()
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=20_000, help="samples in the pool, a multiple of 1000")
    parser.add_argument("--repeats", type=int, default=5, help="turns of each")
    parser.add_argument("--output", type=Path, help="where the JSON goes; stdout by default")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        times = compare(Path(directory), arguments.samples, arguments.repeats)
    kept = arguments.samples // 2
    medians = {
        name: {key: statistics.median(run[key] for run in runs) for key in ("wall_s", "cpu_s")}
        for name, runs in times.items()
    }
    result = {
        "benchmark": "reshard half of a pool",
        "date": datetime.now(UTC).date().isoformat(),
        "hardware": {"processor": processor(), "cores": os.cpu_count(), "processes": 1, "page_cache": "warm"},
        "versions": {name: version(name) for name in ("oqvl-filter", "oqvl-shards", "webdataset", "numpy")}
        | {"python": platform.python_version()},
        "samples": {"pool": arguments.samples, "kept": kept, "mean_image_bytes": 50_000},
        "medians": medians,
        "kept_samples_per_cpu_second": {name: round(kept / value["cpu_s"]) for name, value in medians.items()},
        "ratio": {key: medians["webdataset"][key] / medians["oqvl-filter"][key] for key in ("wall_s", "cpu_s")},
        "runs": times,
    }
    text = json.dumps(result, indent=2) + "\n"
    if arguments.output is None:
        print(text, end="")
    else:
        arguments.output.write_text(text)


if __name__ == "__main__":
    main()
