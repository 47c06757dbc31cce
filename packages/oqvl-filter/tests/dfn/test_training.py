from __future__ import annotations

from typing import Any

import numpy as np
import open_clip
import pytest
import timm
import torch
from safetensors.torch import save_file

from oqvl_filter import run
from oqvl_filter.config import ClipScorerConfig, ScoreConfig, TrainDfnConfig
from oqvl_filter.dfn.training import FrozenTrunk, assemble, fit_heads, load_in_order, separation
from oqvl_filter.score_file import read_table
from oqvl_shards.dataset import open_dataset
from oqvl_shards.errors import ConfigError
from oqvl_shards.image import decode_image
from oqvl_shards.manifest import Kind
from oqvl_shards.tar.sample import ReadLimits

TRUNK = "test_efficientnet"  # timm's own miniature
COLOURS = {"red": (250, 10, 10), "green": (10, 240, 10), "blue": (10, 10, 250), "white": (250, 250, 250)}


@pytest.fixture(scope="session")
def trunk_weights(tmp_path_factory: pytest.TempPathFactory):
    torch.manual_seed(0)
    state = timm.create_model(TRUNK).state_dict()
    path = tmp_path_factory.mktemp("trunk") / "renamed.pth"
    torch.save({f"other.{name}": tensor for name, tensor in state.items() if "num_batches" not in name}, path)
    return path


@pytest.fixture
def clean(make_pool, pair, picture, uid_of):
    """Pictures of four colours in shades, each with its colour's name; one is broken."""
    names = sorted(COLOURS)
    pairs = []
    for n in range(40):
        name = names[n % 4]
        shade = tuple(min(255, value + n // 4 * 2) for value in COLOURS[name])
        pairs.append(pair(f"{n:03d}", picture(shade), f"a {name} picture", uid_of(n)))
    pairs.append(pair("bad", picture()[:40], "broken", uid_of(99)))
    return make_pool([pairs[:25], pairs[25:]], name="clean")


def config_of(clean, tmp_path, trunk_weights, **changes) -> TrainDfnConfig:
    values: dict[str, Any] = {
        "image_trunk": TRUNK,
        "image_size": 32,
        "embed_dim": 8,
        "held_out_fraction": 0.2,
        "image_ridge": 0.1,
    }
    values |= {"class_pairs": 0}
    return TrainDfnConfig(
        clean=clean.path, output=tmp_path / "dfn", image_trunk_weights=trunk_weights, **(values | changes)
    )


def test_a_network_of_clean_pairs_finds_wrong_captions(
    clean, tmp_path, trunk_weights, make_pool, pair, picture, uid_of
):
    report = run.train_dfn(config_of(clean, tmp_path, trunk_weights, class_pairs=1e-3, max_vocabulary=200))
    assert report.account.rejected == {"image_broken": 1}
    assert (report.num_held_out, report.account.num_kept) == (8, 40)
    assert report.held_out_auc is not None and report.held_out_auc > 0.9
    manifest = open_dataset(tmp_path / "dfn", Kind.CHECKPOINT).manifest
    assert manifest.lineage.parents == (clean.manifest.digest(),)

    pool = make_pool(
        [
            [
                pair("right", picture((245, 15, 15)), "a red picture", uid_of(0)),
                pair("wrong", picture((245, 15, 15)), "a blue picture", uid_of(1)),
            ]
        ]
    )
    scorer = ClipScorerConfig(name="clip", model=f"local-dir:{tmp_path / 'dfn'}")
    run.score(ScoreConfig(pool=pool.path, output=tmp_path / "scores", scorer=scorer))
    right, wrong = read_table(tmp_path / "scores" / "00000.parquet").to_pylist()
    assert right["clip_score"] > wrong["clip_score"] + 0.2
    parents = open_dataset(tmp_path / "scores").manifest.lineage.parents
    assert parents == (pool.manifest.digest(), manifest.digest())


def test_the_same_inputs_give_the_same_bytes(clean, tmp_path, trunk_weights):
    first = run.train_dfn(config_of(clean, tmp_path / "a", trunk_weights))
    second = run.train_dfn(config_of(clean, tmp_path / "b", trunk_weights))
    assert first.digest == second.digest


def test_the_open_clip_model_embeds_as_the_heads_do(clean, tmp_path, trunk_weights, picture):
    config = config_of(clean, tmp_path, trunk_weights)
    trunk = FrozenTrunk(config)
    images = [decode_image(picture(colour), ReadLimits()) for colour in COLOURS.values()]
    captions = [f"a {name} picture" for name in COLOURS]
    pixels = [trunk.preprocess(image) for image in images]
    features = trunk.features(pixels)
    heads = fit_heads(features, captions, trunk, config)
    model = assemble(heads, trunk, config)
    tokenizer = open_clip.SimpleTokenizer(context_length=config.context_length)
    with torch.inference_mode():
        found = (
            model.encode_image(torch.stack(pixels), normalize=True)
            @ model.encode_text(tokenizer(captions), normalize=True).T
        )
    assert np.abs(found.numpy() - heads.cosines(features, captions)).max() < 1e-4


def test_weights_load_by_name_or_by_place(tmp_path, trunk_weights):
    model, other = timm.create_model(TRUNK), timm.create_model(TRUNK)
    load_in_order(model, trunk_weights)
    save_file(model.state_dict(), tmp_path / "named.safetensors")
    load_in_order(other, tmp_path / "named.safetensors")
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name])


def test_weights_of_another_model_are_refused(tmp_path, trunk_weights):
    state = torch.load(trunk_weights, weights_only=True)
    state.pop(next(iter(state)))
    torch.save(state, tmp_path / "short.pth")
    with pytest.raises(ConfigError, match="differ in shape at 0"):
        load_in_order(timm.create_model(TRUNK), tmp_path / "short.pth")


def test_weights_are_never_unpickled(tmp_path):
    torch.save({"a": object()}, tmp_path / "evil.pth")
    with pytest.raises(ConfigError, match="is not a file of tensors"):
        load_in_order(timm.create_model(TRUNK), tmp_path / "evil.pth")


def test_separation_is_the_chance_that_a_true_pair_wins():
    assert separation(np.eye(5), list("abcde")) == 1
    assert separation(np.ones((5, 5)), list("abcde")) == 0.5
    assert separation(np.array([[0.5, 0.1], [0.9, 0.5]]), list("ab")) == 0.5
    assert separation(np.array([[0.5, 0.9, 0.1], [0.9, 0.5, 0.1], [0.1, 0.1, 0.5]]), list("aab")) == 1
    assert separation(np.eye(2), list("aa")) is None


def test_pairs_that_share_a_caption_are_no_false_pairs():
    """A perfect network's separation is 1 however often captions repeat; counted apart they would tie at 25/28."""
    captions = ["blue", *["green"] * 3, "red", *["white"] * 3]
    cosines = np.array([[float(image == caption) for caption in captions] for image in captions])
    assert separation(cosines, captions) == 1
    assert separation(cosines, [str(place) for place in range(8)]) == pytest.approx(25 / 28)
