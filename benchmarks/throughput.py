"""Tokens per second, model FLOP utilisation and memory of pre-training at the published size, on one CUDA device.

The model has the sizes of Open-Qwen2VL (SigLIP so400m at 384 pixels, 26 of its 27 blocks; a Qwen2 decoder of 1.54
billion parameters with 151,936 rows of vocabulary) and random weights, which cost what trained ones cost. The data are
made: JPEG pictures of 512 x 384 pixels, captions of about 28 tokens, packed to 4096 tokens at 144 visual tokens an
image by `oqvl-pack`. A variant changes how the same step is computed; every one reads the same packs in the same order
through the trainer's own loader and step, so their losses must agree but for rounding.

    python benchmarks/throughput.py --directory /tmp/throughput --output result.json [--variants a b] [--profile]
"""

from __future__ import annotations

import argparse
import datetime
import io
import json
import os
import platform
import random
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from oqvl_model import attention
from oqvl_model.config import InitConfig
from oqvl_model.run import init
from oqvl_pack.config import PackConfig
from oqvl_pack.run import pack_dataset
from oqvl_shards.binding import bind
from oqvl_shards.dataset import open_dataset
from oqvl_shards.importers.config import ImportWebdatasetConfig
from oqvl_shards.manifest import Kind
from oqvl_shards.packed import PackedReader
from oqvl_shards.run import import_webdataset
from oqvl_shards.tar.writer import TarWriter
from oqvl_train.config import TrainConfig
from oqvl_train.data_order import DataOrder
from oqvl_train.hardware import device_name, peak_flops
from oqvl_train.loader import Loader
from oqvl_train.optimizer import Optimizer
from oqvl_train.parallel import World, open_world, shard_model
from oqvl_train.trainee import Trainee
from oqvl_train.training_step import StepResult, fetch, training_step

VISUAL_TOKENS = 144
BIN_CAPACITY = 4096
VOCAB_ROWS = 151936
SPECIAL_TOKENS = ["<s>", "<image>", "<|im_start|>", "<|im_end|>", "<|pad|>", "<|endofchunk|>"]
NUM_PICTURES = 256
WARM_UP_STEPS = 3

VARIANTS: dict[str, dict[str, Any]] = {
    "1 pack, nothing recomputed": {"micro_batch_size": 1},
    "2 packs, nothing recomputed": {"micro_batch_size": 2},
    "2 packs, nothing recomputed, parameters kept gathered": {"micro_batch_size": 2, "reshard_after_forward": False},
    "2 packs, nothing recomputed, compiled": {"micro_batch_size": 2, "compile": True},
    "2 packs, nothing recomputed, a loop over documents": {"micro_batch_size": 2, "attention": "loop"},
    "4 packs, selective": {"micro_batch_size": 4, "recompute": "selective"},
    "4 packs, selective, compiled": {"micro_batch_size": 4, "recompute": "selective", "compile": True},
    "8 packs, full": {"micro_batch_size": 8, "recompute": "full"},
}
"""What each variant changes. `attention = loop` takes the place of the variable-length kernel."""

TINY_MODEL: dict[str, dict[str, Any]] = {
    "vision": {"hidden_size": 64, "intermediate_size": 128, "num_layers": 3, "num_attention_heads": 2},
    "text": {"hidden_size": 64, "intermediate_size": 128, "num_layers": 2, "num_attention_heads": 2},
}


def make_inputs(directory: Path, num_pairs: int, sizes: dict[str, dict[str, Any]]) -> None:
    """Write pairs, a byte-level tokenizer and a model with random weights, and pack the pairs."""
    directory.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer(
        models.BPE(vocab={letter: i for i, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}, merges=[])
    )
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(SPECIAL_TOKENS)
    tokenizer.save(str(directory / "tokenizer.json"))
    make_pairs(directory / "pairs", num_pairs)
    import_webdataset(ImportWebdatasetConfig(directory=directory / "pairs", name="made-pairs"))
    pack_dataset(
        PackConfig(
            source=directory / "pairs",
            output=directory / "packed",
            tokenizer=directory / "tokenizer.json",
            template="caption",
            bin_capacity=BIN_CAPACITY,
            visual_tokens_per_image=VISUAL_TOKENS,
        )
    )
    vision, text = ({"kind": "siglip", **sizes.get("vision", {})}, sizes.get("text", {}))
    init(
        InitConfig.model_validate(
            {
                "output": directory / "model",
                "tokenizer": directory / "tokenizer.json",
                "visual_tokens_per_image": VISUAL_TOKENS,
                "vision": vision,
                "text": {"vocab_multiple": VOCAB_ROWS, **text},
            }
        )
    )


def make_pairs(directory: Path, num_pairs: int) -> None:
    """Write shards of pictures with captions: 28 tokens of text a pair on average, as in the published data."""
    rng = random.Random(0)
    noise = np.random.default_rng(0)
    pictures = []
    for _ in range(NUM_PICTURES):
        coarse = Image.fromarray(noise.integers(0, 256, (12, 16, 3), dtype=np.uint8))
        buffer = io.BytesIO()
        coarse.resize((512, 384), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
        pictures.append(buffer.getvalue())
    directory.mkdir(parents=True, exist_ok=True)
    with TarWriter(directory / "00000.tar") as writer:
        for index in range(num_pairs):
            letters = max(4, min(120, round(rng.lognormvariate(3.05, 0.6))))
            caption = "".join(rng.choice("abcdefghijklmnop ") for _ in range(letters)).strip() or "a"
            writer.add(f"{index:06d}.jpg", pictures[index % NUM_PICTURES])
            writer.add(f"{index:06d}.txt", caption.encode())


def make_config(directory: Path, global_batch_size: int, changes: dict[str, Any]) -> TrainConfig:
    """Return the configuration of a variant."""
    return TrainConfig.model_validate(
        {
            "checkpoint": directory / "model",
            "packed": directory / "packed",
            "output": directory / "run",
            "trainee": "oqvl_model.trainee:PackedTrainee",
            "trainee_options": {"frozen_dtype": "bfloat16"},
            "max_steps": 1000,
            "global_batch_size": global_batch_size,
            "num_loader_workers": min(14, os.cpu_count() or 1),
            **{key: value for key, value in changes.items() if key != "attention"},
        }
    )


def bind_trainee(config: TrainConfig, packs: PackedReader) -> Trainee:
    """Return the model to train, as `oqvl-train run` binds it."""
    return bind(
        config.trainee, Trainee, config.checkpoint, packs.details, key="trainee", options=config.trainee_options
    )


def measure(config: TrainConfig, world: World, num_steps: int, *, profile: bool) -> dict[str, Any]:
    """Train `num_steps` steps after warming up and return what they cost."""
    packs = PackedReader(open_dataset(config.packed, Kind.PACKED))
    trainee = bind_trainee(config, packs)
    model = shard_model(trainee, config, world)
    optimizer = Optimizer(model, config)
    is_cuda = world.device.type == "cuda"
    loader = Loader(
        packs,
        trainee,
        DataOrder(len(packs), config.global_batch_size, config.seed),
        rank=0,
        world_size=1,
        micro_batch_size=config.micro_batch_size,
        num_workers=config.num_loader_workers,
        pin_memory=is_cuda,
    )
    results: list[StepResult] = []
    started = 0.0
    for step, micro_batches in loader.steps(1, WARM_UP_STEPS + num_steps):
        if step == WARM_UP_STEPS + 1:
            synchronize(world.device)
            if is_cuda:
                torch.cuda.reset_peak_memory_stats()
            started = time.perf_counter()
        batches = list(micro_batches)
        results.append(
            training_step(trainee, optimizer, batches, world, step=step, learning_rate=1e-5, seed=config.seed)
        )
    synchronize(world.device)
    seconds = time.perf_counter() - started
    rows, _ = fetch(results)
    _, num_flops = fetch(results[WARM_UP_STEPS:])
    peak = peak_flops(world.device, config.precision)
    num_tokens = sum(row.num_tokens for row in rows[WARM_UP_STEPS:])
    if profile:
        show_profile(lambda: training_step(trainee, optimizer, batches, world, step=1, learning_rate=1e-5, seed=7))
    return {
        "seconds_a_step": round(seconds / num_steps, 4),
        "tokens_per_second": round(num_tokens / seconds),
        "model_teraflops": round(num_flops / seconds / 1e12, 2),
        "mfu": round(num_flops / seconds / peak, 4),
        "peak_memory_gib": round(torch.cuda.max_memory_allocated() / 2**30, 2) if is_cuda else None,
        "losses": [round(row.loss, 4) for row in rows[:4] if row.loss is not None],
    }


def show_profile(step: Any) -> None:
    """Print the kernels that take most of one step."""
    from torch.profiler import ProfilerActivity

    with torch.profiler.profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiler:
        step()
        torch.cuda.synchronize()
    print(profiler.key_averages().table(sort_by="self_cuda_time_total", row_limit=30, max_name_column_width=70))


def loader_rate(config: TrainConfig, num_steps: int) -> float:
    """Return how many packs a second the loader alone reads, decodes and collates."""
    packs = PackedReader(open_dataset(config.packed, Kind.PACKED))
    trainee = bind_trainee(config, packs)
    order = DataOrder(len(packs), config.global_batch_size, config.seed)
    loader = Loader(
        packs,
        trainee,
        order,
        rank=0,
        world_size=1,
        micro_batch_size=1,
        num_workers=config.num_loader_workers,
        pin_memory=torch.cuda.is_available(),
    )
    started = time.perf_counter()
    num_packs = sum(1 for _, micro_batches in loader.steps(1, num_steps) for _ in micro_batches)
    return num_packs / (time.perf_counter() - started)


def synchronize(device: torch.device) -> None:
    """Wait for the device."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def main() -> None:
    """Measure the variants one after the other and write the result after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--directory", type=Path, required=True, help="where the inputs are made, and found again")
    parser.add_argument("--output", type=Path, required=True, help="JSON file for the result")
    parser.add_argument("--variants", nargs="*", default=list(VARIANTS), help="names of variants; all by default")
    parser.add_argument("--num-steps", type=int, default=10, help="steps that are timed, 8 packs each")
    parser.add_argument("--global-batch-size", type=int, default=8)
    parser.add_argument("--num-pairs", type=int, default=3000)
    parser.add_argument("--tiny", action="store_true", help="a tiny model, to try the script out")
    parser.add_argument("--profile", action="store_true", help="print where one step of each variant spends its time")
    args = parser.parse_args()
    if not (args.directory / "model" / "manifest.json").exists():
        make_inputs(args.directory, args.num_pairs, TINY_MODEL if args.tiny else {})
    first = make_config(args.directory, args.global_batch_size, {})
    result: dict[str, Any] = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "hardware": {"device": None, "cpu_cores": os.cpu_count(), "machine": platform.machine()},
        "versions": {name: version(name) for name in ("torch", "transformers", "oqvl-model", "oqvl-train")},
        "packs": open_dataset(first.packed, Kind.PACKED).manifest.details.model_dump(mode="json"),
        "loader_packs_per_second": round(loader_rate(first, 8), 2),
        "variants": {},
    }
    print(f"loader alone: {result['loader_packs_per_second']} packs/s", flush=True)
    kernel = attention._can_use_varlen
    with open_world(first) as world:
        result["hardware"]["device"] = device_name(world.device)
        for name in args.variants:
            changes = VARIANTS[name]
            attention._can_use_varlen = (lambda query: False) if changes.get("attention") == "loop" else kernel
            config = make_config(args.directory, args.global_batch_size, changes)
            try:
                figures = measure(config, world, args.num_steps, profile=args.profile)
            except torch.OutOfMemoryError as error:
                figures = {"error": str(error).splitlines()[0][:120]}
            result["variants"][name] = figures
            print(name, figures, flush=True)
            args.output.write_text(json.dumps(result, indent=1) + "\n")
            if world.device.type == "cuda":
                torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
