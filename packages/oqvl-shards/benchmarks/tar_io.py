"""CPU seconds to index, read and rewrite one shard: oqvl_shards, the standard library's tarfile, and webdataset.

All three work on the same file, in the page cache, in the same process, in turn. The result is the least CPU time (user
and system) of all rounds, so other load on the machine changes the ratios little. `TarWriter` hashes what it writes and
calls fsync; the others do neither.

    python packages/oqvl-shards/benchmarks/tar_io.py [--num-samples 4000] [--num-rounds 5] [--output result.json]
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import random
import tarfile
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import webdataset

from oqvl_shards.tar.index import scan_tar
from oqvl_shards.tar.reader import ShardReader
from oqvl_shards.tar.writer import TarWriter

MEMBERS_PER_SAMPLE = 3


def make_shard(path: Path, num_samples: int) -> None:
    """Write samples as img2dataset does: a JPEG of 5 to 60 kB (random bytes), a caption, metadata."""
    rng = random.Random(0)
    noise = rng.randbytes(60_000)
    with TarWriter(path) as writer:
        for index in range(num_samples):
            key = f"{index:09d}"
            writer.add(f"{key}.jpg", noise[: rng.randint(5_000, 60_000)])
            writer.add(f"{key}.txt", f"a caption of some length for picture number {index}".encode())
            writer.add(f"{key}.json", json.dumps({"uid": f"{index:032x}", "width": 512, "height": 512}).encode())


def index_oqvl(path: Path) -> None:
    scan_tar(path)


def index_tarfile(path: Path) -> None:
    with tarfile.open(path, "r:") as archive:
        archive.getmembers()


def read_oqvl(path: Path) -> None:
    with ShardReader(path) as reader:
        for sample in reader.samples:
            for member in sample.members:
                reader.read(member)


def read_tarfile(path: Path) -> None:
    with tarfile.open(path, "r:") as archive:
        for info in archive:
            file = archive.extractfile(info)
            assert file is not None
            file.read()


def read_webdataset(path: Path) -> None:
    for _ in webdataset.WebDataset([str(path)], shardshuffle=False):
        pass


def captions_oqvl(path: Path) -> None:
    with ShardReader(path) as reader:
        for sample in reader.samples:
            reader.text(sample)


def captions_tarfile(path: Path) -> None:
    with tarfile.open(path, "r:") as archive:
        for info in archive:
            if info.name.endswith(".txt"):
                file = archive.extractfile(info)
                assert file is not None
                file.read()


def captions_webdataset(path: Path) -> None:
    for _ in webdataset.WebDataset([str(path)], shardshuffle=False, select_files=lambda name: name.endswith(".txt")):
        pass


def rewrite_oqvl(path: Path) -> None:
    with ShardReader(path) as reader, TarWriter(path.with_name("rewritten.tar")) as writer:
        writer.copy(path, [member for sample in reader.samples for member in sample.members])


def rewrite_tarfile(path: Path) -> None:
    with tarfile.open(path, "r:") as archive, tarfile.open(path.with_name("rewritten.tar"), "w") as output:
        for info in archive:
            output.addfile(info, archive.extractfile(info))


def rewrite_webdataset(path: Path) -> None:
    with webdataset.TarWriter(str(path.with_name("rewritten.tar"))) as output:
        for sample in webdataset.WebDataset([str(path)], shardshuffle=False):
            sample.pop("__local_path__", None)
            output.write(sample)


CASES: dict[str, dict[str, Callable[[Path], None]]] = {
    "index": {"oqvl": index_oqvl, "tarfile": index_tarfile},
    "read": {"oqvl": read_oqvl, "tarfile": read_tarfile, "webdataset": read_webdataset},
    "captions": {"oqvl": captions_oqvl, "tarfile": captions_tarfile, "webdataset": captions_webdataset},
    "rewrite": {"oqvl": rewrite_oqvl, "tarfile": rewrite_tarfile, "webdataset": rewrite_webdataset},
}


def cpu_seconds(function: Callable[[Path], None], path: Path) -> float:
    before = time.process_time()
    function(path)
    return time.process_time() - before


def measure(path: Path, num_rounds: int) -> dict[str, dict[str, float]]:
    """Return the least CPU seconds of every case and library."""
    least: dict[str, dict[str, float]] = {case: {} for case in CASES}
    for _ in range(num_rounds):
        for case, contenders in CASES.items():
            for name, function in contenders.items():
                seconds = cpu_seconds(function, path)
                least[case][name] = min(seconds, least[case].get(name, seconds))
    return least


def cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.processor())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--num-samples", type=int, default=4000, help="samples in the shard")
    parser.add_argument("--num-rounds", type=int, default=5, help="rounds; the least time counts")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "shard.tar"
        make_shard(path, options.num_samples)
        num_bytes = path.stat().st_size
        least = measure(path, options.num_rounds)

    results = {
        case: {
            name: {
                "cpu_seconds": round(seconds, 4),
                "members_per_cpu_second": round(options.num_samples * MEMBERS_PER_SAMPLE / seconds),
                "samples_per_cpu_second": round(options.num_samples / seconds),
                "megabytes_per_cpu_second": round(num_bytes / 1e6 / seconds, 1),
                "times_cpu_of_oqvl": round(seconds / contenders["oqvl"], 2),
            }
            for name, seconds in contenders.items()
        }
        for case, contenders in least.items()
    }
    report = {
        "benchmark": "tar_io",
        "date": datetime.date.today().isoformat(),
        "hardware": {"cpu": cpu_model(), "num_cores": os.cpu_count(), "load_average": round(os.getloadavg()[0], 1)},
        "versions": {
            "python": platform.python_version(),
            **{package: version(package) for package in ("oqvl-shards", "webdataset")},
        },
        "shard": {
            "num_samples": options.num_samples,
            "num_members": options.num_samples * MEMBERS_PER_SAMPLE,
            "num_bytes": num_bytes,
        },
        "num_rounds": options.num_rounds,
        "results": results,
    }
    text = json.dumps(report, indent=2) + "\n"
    print(text, end="")
    if options.output:
        options.output.write_text(text)


if __name__ == "__main__":
    main()
