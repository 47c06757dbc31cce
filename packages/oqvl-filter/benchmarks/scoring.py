"""Measure reading and pre-processing for CLIP scores against a plain webdataset + open_clip loop, in one run.

    python packages/oqvl-filter/benchmarks/scoring.py --json packages/oqvl-filter/benchmarks/scoring_2core_202611.json

Made photographs of 512 x 384 pixels go from the tar to batches of float32 [64, 3, 224, 224], as a model is fed. No
model runs: on a GPU this part is the limit. Every way sees the same shard; they take turns, and the median turn counts.
Wall time depends on what else the machine does; CPU time less so.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from oqvl_filter.pool import pool_samples
from oqvl_filter.scorers.image_pipeline import prepared_batches, torchvision_preparation
from oqvl_shards.tar.reader import ShardReader
from oqvl_shards.tar.sample import ReadLimits
from oqvl_shards.tar.writer import TarWriter

BATCH_SIZE = 64


def photograph(seed: int) -> bytes:
    """A JPEG of 512 x 384 pixels and some 60 kB: soft shades with grain."""
    generator = np.random.default_rng(seed)
    coarse = Image.fromarray(generator.integers(0, 256, (24, 32, 3), dtype=np.uint8))
    shades = np.asarray(coarse.resize((512, 384), Image.Resampling.BICUBIC), dtype=np.int16)
    grain = generator.normal(0, 6, shades.shape)
    buffer = io.BytesIO()
    Image.fromarray(np.clip(shades + grain, 0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def model_steps() -> Any:
    from open_clip.transform import PreprocessCfg, image_transform_v2

    return image_transform_v2(PreprocessCfg(size=224), is_train=False)


def plain_loop(shard: Path) -> int:
    """What one writes without a tool: webdataset decodes, open_clip prepares, torch stacks."""
    import webdataset

    steps, count, batch = model_steps(), 0, []
    samples: Any = webdataset.WebDataset(str(shard), shardshuffle=False).decode("pil")
    for image, caption in samples.to_tuple("jpg", "txt"):
        assert caption
        batch.append(steps(image))
        if len(batch) == BATCH_SIZE:
            count += len(torch.stack(batch))
            batch = []
    return count + len(batch)


def pipeline(decoder: str, num_threads: int) -> Callable[[Path], int]:
    def run(shard: Path) -> int:
        preparation = torchvision_preparation(model_steps(), ReadLimits(), decoder)  # pyrefly: ignore
        count = 0
        with ShardReader(shard) as reader:
            samples = pool_samples(reader, "pool")
            captions = [reader.text(sample.sample) for sample in samples]
            results = [None] * len(samples)
            wanted = range(len(captions))
            for batch in prepared_batches(
                reader,
                samples,
                wanted,
                preparation.pixels,
                batch_size=BATCH_SIZE,
                num_threads=num_threads,
                results=results,
            ):
                count += len(preparation.batch([pixels for _, pixels in batch], "cpu", torch.float32))
        return count

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=512)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    ways = {
        "webdataset + open_clip": plain_loop,
        "exact": pipeline("exact", 0),
        "exact, 2 threads": pipeline("exact", 2),
        "fast": pipeline("fast", 0),
        "fast, 2 threads": pipeline("fast", 2),
    }
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    with tempfile.TemporaryDirectory() as directory:
        shard = Path(directory) / "00000.tar"
        with TarWriter(shard) as tar:
            for number in range(arguments.samples):
                tar.add(f"{number:06d}.jpg", photograph(number))
                tar.add(f"{number:06d}.txt", f"photograph {number}".encode())
        size = shard.stat().st_size
        for _ in range(arguments.turns + 1):
            for name, way in ways.items():
                wall, cpu = time.perf_counter(), time.process_time()
                assert way(shard) == arguments.samples
                seconds[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    report = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "torch": torch.__version__,
        "samples": arguments.samples,
        "bytes_a_sample": round(size / arguments.samples),
        "turns": arguments.turns,
        "samples_per_wall_second": {},
        "samples_per_cpu_second": {},
    }
    for name, turns in seconds.items():
        wall, cpu = (statistics.median(column) for column in zip(*turns[1:], strict=True))  # the first turn warms up
        report["samples_per_wall_second"][name] = round(arguments.samples / wall, 1)
        report["samples_per_cpu_second"][name] = round(arguments.samples / cpu, 1)
    text = json.dumps(report, indent=2)
    print(text)
    if arguments.json:
        arguments.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
