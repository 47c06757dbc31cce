"""Measure caption samples per second: `oqvl-pack run` in both layouts, and Open-Qwen2VL's way, on the same shards.

The shards are synthetic: real JPEG files, captions made of words in the tokenizer's vocabulary (log-normal lengths,
mean 28 tokens), and metadata as img2dataset writes it. Pass a tokenizer.json of your own; without one, a byte-level BPE
is trained on the captions.

The comparison reimplements what Open-Qwen2VL's scripts do: read a tar as a stream, decode and re-encode every image,
tokenise one caption at a time, pack by first-fit decreasing over all open bins, and write one JSON file per pack with
the images in base64. Both spread shards over processes and use all cores. Open-Qwen2VL's way packs each tar by itself,
so its speed does not depend on the number of tars, and it gets the beginning of one tar per process. Ours gets every
shard several times under other names, so that starting processes and reading the tokenizer take a small share of the
time, as they do for a real corpus. Everything takes about three minutes and 6 GB of disk.

    python packages/oqvl-pack/benchmarks/throughput.py [--tokenizer tokenizer.json] [--output result.json]
"""

from __future__ import annotations

import argparse
import base64
import datetime
import io
import json
import os
import platform
import tarfile
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tokenizers import AddedToken, Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer

from oqvl_pack.config import PackConfig
from oqvl_pack.corpus.worker import Job
from oqvl_pack.documents.drafting import read_documents
from oqvl_pack.documents.source import list_shards, open_sources
from oqvl_pack.documents.word_cache import WordCache
from oqvl_pack.run import pack_dataset
from oqvl_shards.dataset import open_dataset, write_manifest
from oqvl_shards.image import check_image_head, image_size
from oqvl_shards.importers.config import ImportWebdatasetConfig
from oqvl_shards.manifest import Account
from oqvl_shards.run import import_webdataset
from oqvl_shards.tar.reader import ShardReader
from oqvl_shards.tar.sample import ReadLimits
from oqvl_shards.tar.writer import TarWriter

CAPACITY = 4096
VISUAL_TOKENS = 144
NUM_PICTURES = 48
SPECIAL_TOKENS = ["<image>", "<s>", "<|endofchunk|>", "<|pad|>", "<|im_end|>"]


def make_words(tokenizer: Path | None) -> list[str]:
    """Return words: the tokens of the tokenizer that are a space and letters, or invented words without a tokenizer."""
    if tokenizer is None:
        rng = np.random.default_rng(1)
        letters = np.array(list("etaoinshrdlucmfwypvbgkjqxz"))
        return ["".join(rng.choice(letters[:18], rng.integers(2, 9))) for _ in range(20_000)]
    vocabulary = json.loads(tokenizer.read_text(encoding="utf-8"))["model"]["vocab"]
    words = [token[1:] for token in vocabulary if token[:1] == "Ġ" and token[1:].isascii() and token[1:].isalpha()]
    return words[:30_000]


def make_tokenizer(source: Path | None, words: list[str], output: Path) -> None:
    """Write a tokenizer.json with the special tokens."""
    if source is not None:
        tokenizer = Tokenizer.from_file(str(source))
    else:
        tokenizer = Tokenizer(BPE())
        tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
        tokenizer.train_from_iterator(words, BpeTrainer(vocab_size=32_000, show_progress=False))
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS])
    tokenizer.save(str(output))


def make_pictures(side: int) -> list[bytes]:
    """Return JPEG files with content between flat and noise."""
    rng = np.random.default_rng(0)
    pictures = []
    for _ in range(NUM_PICTURES):
        coarse = Image.fromarray(rng.integers(0, 255, (24, 24, 3), dtype=np.uint8))
        pixels = np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC), dtype=np.int16)
        noisy = np.clip(pixels + rng.normal(0, 6, pixels.shape), 0, 255).astype(np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(noisy).save(buffer, "JPEG", quality=90)
        pictures.append(buffer.getvalue())
    return pictures


def make_shards(directory: Path, num_shards: int, per_shard: int, side: int, words: list[str]) -> None:
    pictures = make_pictures(side)
    rng = np.random.default_rng(2)
    ranks = np.minimum(rng.zipf(1.2, (num_shards * per_shard * 28,)) - 1, len(words) - 1)
    lengths = np.maximum(3, np.rint(rng.lognormal(3.0, 0.6, num_shards * per_shard))).astype(int)
    for shard in range(num_shards):
        with TarWriter(directory / f"{shard:05d}.tar") as tar:
            for index in range(shard * per_shard, (shard + 1) * per_shard):
                start = index * 28
                caption = " ".join(words[rank] for rank in np.resize(ranks[start : start + 28], lengths[index]))
                metadata = {"uid": f"{index:032x}", "key": f"{index:09d}", "status": "success", "width": side}
                tar.add(f"{index:09d}.jpg", pictures[index % NUM_PICTURES])
                tar.add(f"{index:09d}.json", json.dumps({**metadata, "caption": caption}).encode())
                tar.add(f"{index:09d}.txt", caption.encode())


def link_shards(source: Path, directory: Path, num_copies: int) -> Path:
    """Make a dataset with `num_copies` of every shard of another one, stored once on disk."""
    directory.mkdir()
    manifest = open_dataset(source).manifest
    shards = []
    for shard in manifest.shards * num_copies:
        shards.append(shard.model_copy(update={"path": f"{len(shards):05d}.tar"}))
        (directory / shards[-1].path).hardlink_to(source / shard.path)
    num_samples = sum(shard.num_samples for shard in shards)
    account = Account(num_in=num_samples, num_kept=num_samples)
    write_manifest(directory, manifest.model_copy(update={"shards": tuple(shards), "account": account}))
    return directory


def pack_oqvl(output: Path, *, source: Path, tokenizer: Path, layout: Any, num_workers: int) -> int:
    report = pack_dataset(
        PackConfig(source=source, tokenizer=tokenizer, output=output, layout=layout, num_workers=num_workers)
    )
    return report.num_packs


def pack_as_the_original(output: Path, *, tars: Sequence[Path], num_samples: int, tokenizer: Path) -> int:
    with get_context("forkserver").Pool(len(tars)) as pool:
        calls = [(tar, num_samples, tokenizer, output / tar.stem) for tar in tars]
        return sum(pool.starmap(pack_tar_as_the_original, calls))


def pack_tar_as_the_original(tar: Path, num_samples: int, tokenizer_file: Path, output: Path) -> int:
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    output.mkdir(parents=True)
    documents: dict[str, dict[str, Any]] = {}
    for key, picture, caption in islice(stream_samples(tar), num_samples):
        buffer = io.BytesIO()
        Image.open(io.BytesIO(picture)).convert("RGB").save(buffer, "JPEG")
        ids = tokenizer.encode(f"<s><image>\n{caption}<|im_end|>", add_special_tokens=False).ids
        encoded = {"image_base64": base64.b64encode(buffer.getvalue()).decode()}
        length = len(ids) + VISUAL_TOKENS - 1
        documents[key] = {"image_info": [encoded, None], "texts": [None, caption], "key": key, "length": length}
    bins: list[list[tuple[str, int]]] = []
    by_length = sorted(((key, one["length"]) for key, one in documents.items()), key=lambda item: -item[1])
    for item in by_length:
        for one in bins:
            if sum(length for _, length in one) + item[1] <= CAPACITY:
                one.append(item)
                break
        else:
            bins.append([item])
    for number, one in enumerate(bins):
        pack = {"data": [documents[key] for key, _ in one], "lengths": [length for _, length in one]}
        (output / f"{number:032x}_packed.json").write_text(json.dumps(pack, indent=2))
    return len(bins)


def stream_samples(path: Path) -> Any:
    """Yield (key, JPEG, caption) from a tar that is read as a stream."""
    with tarfile.open(path, "r|") as archive:
        sample: dict[str, bytes] = {}
        for info in archive:
            file = archive.extractfile(info)
            assert file is not None
            key, _, suffix = info.name.partition(".")
            sample[suffix] = file.read()
            if len(sample) == 3:
                yield key, sample["jpg"], sample["txt"].decode()
                sample = {}


def measure(run: Callable[[Path], int], num_samples: int, rounds: int = 1) -> dict[str, float]:
    """Return samples per second of wall-clock time, from the fastest round."""
    seconds, num_packs, num_bytes = [], 0, 0
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as directory:
            output = Path(directory) / "packed"
            started = time.perf_counter()
            num_packs = run(output)
            seconds.append(time.perf_counter() - started)
            num_bytes = sum(path.stat().st_size for path in output.rglob("*") if path.is_file())
    return {
        "num_samples": num_samples,
        "seconds": min(seconds),
        "samples_per_second": num_samples / min(seconds),
        "num_packs": num_packs,
        "num_bytes": num_bytes,
    }


def cpu_microseconds(run: Callable[[Path], int], num_samples: int) -> float:
    """Return the CPU time per sample in one process that has read the tokenizer; it varies less on a busy machine."""
    with tempfile.TemporaryDirectory() as directory:
        spent = time.process_time()
        run(Path(directory) / "packed")
        return (time.process_time() - spent) / num_samples * 1e6


def stages(source: Path, tokenizer: Path) -> dict[str, float]:
    """Return the CPU seconds of each step of tokenising the first shard, in one process."""
    config = PackConfig(source=source, tokenizer=tokenizer, output=Path("unused"))
    shard = list_shards(open_sources(config))[0]
    loaded = Job(config, frozenset({"caption"})).tokenizer()
    seconds = {}

    def clock(name: str, function: Callable[[], Any]) -> Any:
        started = time.process_time()
        result = function()
        seconds[name] = time.process_time() - started
        return result

    reader = clock("header scan", lambda: ShardReader(shard.path))
    texts = clock("captions", lambda: [reader.text(sample) for sample in reader.samples])
    images = [sample.image_members[0] for sample in reader.samples]
    data = clock("image bytes", lambda: [reader.read(image) for image in images])
    clock("image headers, Pillow", lambda: [image_size(one, ReadLimits()) for one in data])
    clock("image heads", lambda: [check_image_head(reader.head(image, 4096), ReadLimits()) for image in images])
    clock("tokenizer, whole texts", lambda: loaded._tokenizer.encode_batch_fast(texts, add_special_tokens=False))
    clock("tokenizer, new words", lambda: WordCache(loaded._tokenizer).encode(texts))
    words = WordCache(loaded._tokenizer)
    words.encode(texts)
    clock("tokenizer, known words", lambda: words.encode(texts))
    clock("all of it", lambda: read_documents(shard, config, loaded))
    reader.close()
    return {name: one / len(texts) * 1e6 for name, one in seconds.items()}


def measure_all(made: Path, tokenizer: Path, options: argparse.Namespace) -> dict[str, dict[str, float]]:
    num_made = options.num_shards * options.per_shard
    results = {}
    for layout, num_copies in (("reference", options.num_copies), ("embedded", options.num_copies_embedded)):
        source = link_shards(made, made.parent / layout, num_copies)
        pack_layout = partial(pack_oqvl, tokenizer=tokenizer, layout=layout)
        run = partial(pack_layout, source=source, num_workers=options.num_workers)
        results[layout] = measure(run, num_copies * num_made, options.rounds)
        cpu = cpu_microseconds(partial(pack_layout, source=made, num_workers=1), num_made)
        results[layout]["cpu_microseconds_a_sample"] = cpu
    if not options.without_original:
        tars = sorted(made.glob("*.tar"))[: options.num_workers]
        num_samples = min(options.num_original, options.per_shard)
        run = partial(pack_as_the_original, tars=tars, num_samples=num_samples, tokenizer=tokenizer)
        results["original"] = measure(run, len(tars) * num_samples, options.rounds)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizer", type=Path, help="a tokenizer.json of byte-level BPE")
    parser.add_argument("--num-shards", type=int, default=2, help="shards that are made")
    parser.add_argument("--num-copies", type=int, default=64, help="times that each stands in the dataset")
    parser.add_argument("--num-copies-embedded", type=int, default=6, help="the same, where images are copied")
    parser.add_argument("--per-shard", type=int, default=5000)
    parser.add_argument("--num-original", type=int, default=2000, help="samples of a shard for the slow comparison")
    parser.add_argument("--side", type=int, default=384, help="pixels of an image's side")
    parser.add_argument("--num-workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--without-original", action="store_true", help="leave the slow comparison out")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    with tempfile.TemporaryDirectory() as directory:
        source, tokenizer = Path(directory) / "captions", Path(directory) / "tokenizer.json"
        words = make_words(options.tokenizer)
        make_tokenizer(options.tokenizer, words, tokenizer)
        make_shards(source, options.num_shards, options.per_shard, options.side, words)
        import_webdataset(ImportWebdatasetConfig(directory=source, name="captions"))
        report = {
            "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
            "python": platform.python_version(),
            "numpy": np.__version__,
            "tokenizers": version("tokenizers"),
            "cores": os.cpu_count(),
            "num_workers": options.num_workers,
            "load_average": os.getloadavg()[0],
            "source_bytes": sum(path.stat().st_size for path in source.glob("*.tar")),
            "vocabulary": Tokenizer.from_file(str(tokenizer)).get_vocab_size(),
            "cpu_microseconds_a_sample": stages(source, tokenizer),
            "results": measure_all(source, tokenizer, options),
        }
    text = json.dumps(report, indent=2) + "\n"
    print(text, end="")
    if options.output:
        options.output.write_text(text)


if __name__ == "__main__":
    main()
