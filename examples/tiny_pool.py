"""Write a pool to experiment with: 96 plain squares in six colours, each with a caption that names its colour.

    uv run examples/tiny_pool.py pool
    uv run oqvl-shards show pool

A pool of your own needs no code: `oqvl-shards import webdataset directory=TARS name=NAME`.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

from PIL import Image

from oqvl_shards import TarWriter
from oqvl_shards.importers.config import ImportWebdatasetConfig
from oqvl_shards.run import import_webdataset

COLOURS = {
    "red": (220, 30, 30),
    "green": (30, 160, 50),
    "blue": (40, 60, 220),
    "white": (250, 250, 250),
    "grey": (128, 128, 128),
    "black": (10, 10, 10),
}
NUM_PER_COLOUR = 16


def write_pool(directory: Path) -> None:
    """Write two shards of pictures and captions to `directory`, then their manifest."""
    samples = [(name, colour, number) for number in range(NUM_PER_COLOUR) for name, colour in COLOURS.items()]
    for shard in range(2):
        with TarWriter(directory / f"{shard:05d}.tar") as tar:
            for name, colour, number in samples[shard::2]:
                picture = io.BytesIO()
                Image.new("RGB", (16 + number, 16), colour).save(picture, "PNG")
                tar.add(f"{name}-{number:02d}.png", picture.getvalue())
                tar.add(f"{name}-{number:02d}.txt", f"a {name} square".encode())
    import_webdataset(ImportWebdatasetConfig(directory=directory, name="squares"))


if __name__ == "__main__":
    write_pool(Path(sys.argv[1]))
