from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from oqvl_eval import EvalConfig, ImageRef, Item, evaluate, write_benchmark
from oqvl_shards.config import StageConfig
from oqvl_shards.dataset import Dataset, describe_file, write_manifest
from oqvl_shards.manifest import Account, CheckpointDetails, Lineage, Manifest

COLOURS = {"red": (220, 20, 20), "green": (20, 200, 20), "blue": (20, 20, 230), "white": (250, 250, 250)}


def png(colour: tuple[int, int, int], size: tuple[int, int] = (8, 6)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, format="PNG")
    return buffer.getvalue()


@pytest.fixture
def pictures() -> dict[str, bytes]:
    """Five shades of every colour, so that no two picture files are equal."""
    shades = {}
    for name, (r, g, b) in COLOURS.items():
        for shade in range(5):
            shades[f"{name}-{shade}.png"] = png((r - shade, g - shade, b - shade))
    return shades


@pytest.fixture
def items() -> list[Item]:
    """Twenty questions about colours with rotating options, in five clusters of four items, one per shade."""
    names = list(COLOURS)
    made = []
    for index in range(20):
        colour, shade = names[index % 4], index // 4
        choices = tuple(names[(index + offset + shade) % 4] for offset in range(4))
        made.append(
            Item(
                item_id=f"q{index:02d}",
                cluster_id=f"c{shade}",
                segments=(ImageRef(f"{colour}-{shade}.png"), "Which colour is this?"),
                choices=choices,
                answer="ABCD"[choices.index(colour)],
                category="warm" if colour in ("red", "white") else "cold",
                metadata={"shade": shade},
            )
        )
    return made


@pytest.fixture
def benchmark(tmp_path: Path, items: list[Item], pictures: dict[str, bytes]) -> Dataset:
    return write_benchmark(tmp_path / "benchmark", "colours", items, pictures)


@pytest.fixture
def make_checkpoint(tmp_path: Path) -> Callable[[str], Dataset]:
    def make(name: str) -> Dataset:
        directory = tmp_path / name
        directory.mkdir()
        (directory / "config.json").write_text(f'{{"name": "{name}"}}')
        manifest = Manifest(
            name=name,
            details=CheckpointDetails(architecture="Fake", stage="init"),
            shards=(describe_file(directory / "config.json", directory, 1),),
            account=Account(num_in=1, num_kept=1),
            lineage=Lineage.derive("test", "0", StageConfig()),
        )
        return write_manifest(directory, manifest)

    return make


@pytest.fixture
def checkpoint(make_checkpoint: Callable[[str], Dataset]) -> Dataset:
    return make_checkpoint("seer")


@pytest.fixture
def evaluation(
    benchmark: Dataset, checkpoint: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., EvalConfig]:
    """Make the configuration of an evaluation of the colour questions."""
    monkeypatch.syspath_prepend(Path(__file__).parent)

    def make(output: str = "predictions", **fields: Any) -> EvalConfig:
        values = {
            "benchmark": benchmark.path,
            "checkpoint": checkpoint.path,
            "output": tmp_path / output,
            "answerer": "colour_answerer:ColourAnswerer",
        }
        return EvalConfig.model_validate({**values, **fields})

    return make


@pytest.fixture
def answered(
    evaluation: Callable[..., EvalConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Path]:
    """Ask a model that says what it is told to, and return the directory of its predictions."""

    def answer(task: str, items: Sequence[Item], outputs: Sequence[str], name: str = "answers") -> Path:
        remaining = iter(outputs)
        monkeypatch.setattr(
            "colour_answerer.ColourAnswerer.generate", lambda self, prompts, **_: [next(remaining) for _ in prompts]
        )
        benchmark = write_benchmark(tmp_path / f"{name}-{task}", task, items)
        return Path(evaluate(evaluation(f"{name}-of-{task}", benchmark=benchmark.path)).predictions)

    return answer
