"""The arithmetic of `train-dfn` against numpy: closed forms, counting, and all pairs one by one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import open_clip.tokenizer
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from open_clip import IMAGENET_CLASSNAMES
from open_clip.tokenizer import SimpleTokenizer

from oqvl_filter.config import TrainDfnConfig
from oqvl_filter.dfn import training
from oqvl_filter.dfn.correlation import Moments, canonical_directions
from oqvl_filter.dfn.training import BagOfWords, CleanPairs, fit_heads, measure, separation
from oqvl_filter.uid_array import hash_uids
from oqvl_shards.errors import ConfigError
from oqvl_shards.manifest import Account
from oqvl_shards.uid import UID_DTYPE

WORDS = ["dog", "cat", "red", "blue", "tree", "sea", "house", "car"]


@pytest.fixture(scope="module", autouse=True)
def tokenizers() -> Iterator[None]:
    """One tokenizer per length: each reads 49,000 merges, which takes longer than all else here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("open_clip.tokenizer.SimpleTokenizer", cache(SimpleTokenizer))
        yield


def config_of(**values) -> TrainDfnConfig:
    defaults: dict[str, Any] = {"embed_dim": 3, "image_ridge": 0.5, "text_ridge": 0.2, "class_pairs": 0.0}
    return TrainDfnConfig(clean=Path("c"), output=Path("o"), image_trunk_weights=Path("w"), **{**defaults, **values})


def trunk_of(num_features: int = 5, num_classes: int = 4) -> Any:
    """A trunk that is only asked for its classifier."""
    generator = torch.Generator().manual_seed(1)
    return SimpleNamespace(class_directions=torch.randn(num_classes, num_features, generator=generator))


def pairs_of(count: int, seed: int = 0, num_features: int = 5) -> tuple[np.ndarray, list[str]]:
    """Images whose first features say which word the caption has."""
    generator = np.random.default_rng(seed)
    words = generator.integers(0, len(WORDS), count)
    features = generator.normal(size=(count, num_features))
    features[:, 0] += words
    features[:, 1] += 2 * (words % 2)
    captions = [
        f"a {WORDS[word]} {WORDS[other]}" for word, other in zip(words, generator.integers(0, 8, count), strict=True)
    ]
    return features.astype(np.float32), captions


def inverse_root(matrix: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(matrix)
    return vectors @ np.diag(values**-0.5) @ vectors.T


@pytest.mark.parametrize(("x_ridge", "y_ridge"), [(1e-3, 1e-3), (0.5, 0.1), (10.0, 0.01)])
def test_canonical_directions_are_the_ridge_solution_of_numpy(x_ridge: float, y_ridge: float):
    """The maps' product is rooted^-1 U S V^T rooted^-1, whatever the square roots and the signs."""
    generator = np.random.default_rng(3)
    x, y = generator.normal(size=(60, 4)), generator.normal(size=(60, 6))
    y[:, :2] += x[:, :2]
    x_root = inverse_root(x.T @ x / 60 + x_ridge * np.eye(4))
    y_root = inverse_root(y.T @ y / 60 + y_ridge * np.eye(6))
    left, singular, right = np.linalg.svd(x_root @ (x.T @ y / 60) @ y_root)
    for num_directions in (1, 3, 4):
        x_map, y_map = canonical_directions(
            Moments.of(torch.from_numpy(x), torch.from_numpy(y)), x_ridge, y_ridge, num_directions
        )
        kept = slice(num_directions)
        expected = x_root @ left[:, kept] @ np.diag(singular[kept]) @ right[kept] @ y_root
        assert np.allclose((x_map @ y_map.T).numpy(), expected, atol=1e-10)
        # Each side carries the square root of the correlation.
        covariance = x.T @ x / 60 + x_ridge * np.eye(4)
        assert np.allclose((x_map.T @ torch.from_numpy(covariance) @ x_map).numpy(), np.diag(singular[kept]), atol=1e-9)


def test_a_single_feature_on_each_side_is_one_correlation_by_hand():
    x, y = torch.tensor([[1.0], [-1.0], [2.0]]).double(), torch.tensor([[2.0], [-1.0], [1.0]]).double()
    x_map, y_map = canonical_directions(Moments.of(x, y), 0.5, 1.0, 1)
    correlation = (5 / 3) / ((6 / 3 + 0.5) * (6 / 3 + 1.0)) ** 0.5
    assert abs(x_map.item()) == pytest.approx(correlation**0.5 / (2.5**0.5))
    assert abs(y_map.item()) == pytest.approx(correlation**0.5 / (3.0**0.5))
    assert x_map.item() * y_map.item() > 0


captions_strategy = st.lists(
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=6).map(" ".join), min_size=1, max_size=6
)


@settings(max_examples=6)
@given(captions_strategy, st.integers(1, 5))
def test_a_bag_holds_the_most_frequent_tokens_and_counts_them(captions: list[str], max_vocabulary: int):
    tokenizer = open_clip.tokenizer.SimpleTokenizer()
    tokens = [tokenizer.encode(caption) for caption in captions]
    frequencies = Counter(token for row in tokens for token in row)
    chosen = sorted(frequencies, key=lambda token: (-frequencies[token], token))[:max_vocabulary]
    counts = np.array([[row.count(token) for token in chosen] for row in tokens], dtype=np.float64)
    bag = BagOfWords(captions, config_of(max_vocabulary=max_vocabulary))
    features = bag.features(captions)
    assert features[:, -1].tolist() == [1] * len(captions)
    assert np.square(features[:, :-1]).sum(axis=1).mean() == pytest.approx(1)
    assert np.allclose(features[:, :-1] * (np.square(counts).sum(axis=1).mean() ** 0.5), counts)


@given(st.permutations(["dog", "cat", "dog", "red"]))
@settings(max_examples=3)
def test_the_order_of_words_in_a_caption_does_not_matter(words: list[str]):
    bag = BagOfWords(["a dog", "a red cat"], config_of())
    assert bag.features([" ".join(words)]).tolist() == bag.features(["dog cat dog red"]).tolist()


def test_words_beyond_the_context_are_not_read():
    bag = BagOfWords(["dog cat red blue"], config_of(context_length=4))
    assert bag.features(["dog cat"]).tolist() == bag.features(["dog cat red blue"]).tolist()


def test_token_vectors_are_the_rows_of_the_map_at_the_scale_of_the_counts():
    captions = ["dog", "dog cat", "red"]
    bag = BagOfWords(captions, config_of())
    word_map = torch.arange(6, dtype=torch.float64).reshape(3, 2)
    vectors = bag.token_vectors(word_map)
    tokenizer = open_clip.tokenizer.SimpleTokenizer()
    for caption, feature in zip(captions, bag.features(captions), strict=True):
        summed = sum(vectors[token] for token in tokenizer.encode(caption))
        assert torch.allclose(torch.as_tensor(summed), torch.from_numpy(feature[:-1]) @ word_map)
    assert int((vectors != 0).any(dim=1).sum()) == 3


@pytest.mark.parametrize("rows_at_once", [1, 7, 4096])
def test_heads_are_the_closed_form_of_numpy_whatever_is_read_at_once(rows_at_once: int, monkeypatch):
    features, captions = pairs_of(40)
    monkeypatch.setattr(training, "_ROWS_AT_ONCE", rows_at_once)
    config = config_of()
    heads = fit_heads(features, captions, trunk_of(), config)
    x = features.astype(np.float64)
    x = (x - x.mean(axis=0)) / (x.std(axis=0) + 1e-6)
    y = heads.words.features(captions)
    x_root = inverse_root(x.T @ x / 40 + config.image_ridge * np.eye(x.shape[1]))
    y_root = inverse_root(y.T @ y / 40 + config.text_ridge * np.eye(y.shape[1]))
    left, singular, right = np.linalg.svd(x_root @ (x.T @ y / 40) @ y_root)
    expected = x @ (x_root @ left[:, :3] @ np.diag(singular[:3]) @ right[:3] @ y_root) @ y.T
    centred = torch.from_numpy(features).double() - heads.mean_X
    products = (centred @ heads.image_map_XK @ heads.text_map_TK.T @ torch.from_numpy(y).T).numpy()
    assert np.allclose(products, expected, atol=1e-6)
    lengths = np.linalg.norm((centred @ heads.image_map_XK).numpy(), axis=1)[:, None]
    lengths = lengths * np.linalg.norm(y @ heads.text_map_TK.numpy(), axis=1)
    assert np.allclose(heads.cosines(features, captions), expected / lengths, atol=1e-6)


def test_class_pairs_add_their_moments_with_their_weight():
    features, captions = pairs_of(30)
    trunk = trunk_of(num_classes=len(IMAGENET_CLASSNAMES))
    config = config_of(class_pairs=0.25, max_vocabulary=40)
    heads = fit_heads(features, captions, trunk, config)
    x = features.astype(np.float64)
    x = (x - x.mean(axis=0)) / (x.std(axis=0) + 1e-6)
    directions = trunk.class_directions.double().numpy()
    directions = directions - directions.mean(axis=0)
    directions = directions / directions.std(ddof=1)
    y, names = heads.words.features(captions), heads.words.features(IMAGENET_CLASSNAMES)
    weight = 30 + 0.25 * len(names)
    x_root = inverse_root((x.T @ x + 0.25 * directions.T @ directions) / weight + 0.5 * np.eye(5))
    y_root = inverse_root((y.T @ y + 0.25 * names.T @ names) / weight + 0.2 * np.eye(y.shape[1]))
    cross = (x.T @ y + 0.25 * directions.T @ names) / weight
    left, singular, right = np.linalg.svd(x_root @ cross @ y_root, full_matrices=False)
    expected = x @ (x_root @ left[:, :3] @ np.diag(singular[:3]) @ right[:3] @ y_root) @ y.T
    centred = torch.from_numpy(features).double() - heads.mean_X
    products = (centred @ heads.image_map_XK @ heads.text_map_TK.T @ torch.from_numpy(y).T).numpy()
    assert np.allclose(products, expected, atol=1e-6)


def test_a_trunk_of_other_classes_adds_no_pairs():
    features, captions = pairs_of(20)
    plain = fit_heads(features, captions, trunk_of(), config_of())
    other = fit_heads(features, captions, trunk_of(), config_of(class_pairs=1.0))
    assert torch.equal(plain.image_map_XK, other.image_map_XK)


tables = st.integers(1, 7).flatmap(
    lambda count: st.tuples(
        st.lists(st.lists(st.integers(0, 3), min_size=count, max_size=count), min_size=count, max_size=count),
        st.lists(st.sampled_from("abc"), min_size=count, max_size=count),
    )
)


@given(tables)
def test_separation_is_the_share_of_true_pairs_above_false_ones(table: tuple[list[list[int]], list[str]]):
    cosines, captions = table
    count = len(captions)
    true = [cosines[row][row] for row in range(count)]
    false = [cosines[n][m] for n in range(count) for m in range(count) if captions[n] != captions[m]]
    wins = [(own > other) + (own == other) / 2 for own in true for other in false]
    measured = separation(np.array(cosines, dtype=np.float64), captions)
    assert measured == (pytest.approx(sum(wins) / len(wins)) if wins else None)


def clean_of(count: int) -> CleanPairs:
    features, captions = pairs_of(count)
    uids = np.array([(number, 7) for number in range(count)], dtype=UID_DTYPE)
    return CleanPairs(features, captions, uids, Account(num_in=count, num_kept=count))


def test_the_measure_is_the_separation_of_pairs_that_the_heads_never_saw():
    pairs, config = clean_of(60), config_of(held_out_fraction=0.25)
    value, num_held_out = measure(pairs, trunk_of(), config)
    order = sorted(range(60), key=lambda row: hash_uids(pairs.uids[row : row + 1], 0)[0])
    held_out, rest = sorted(order[:15]), sorted(order[15:])
    heads = fit_heads(pairs.features_NX[rest], [pairs.captions[row] for row in rest], trunk_of(), config)
    captions = [pairs.captions[row] for row in held_out]
    assert num_held_out == 15
    assert value == separation(heads.cosines(pairs.features_NX[held_out], captions), captions)
    assert value is not None and value > 0.5
    # What is held out leaves the heads as they are: a changed caption there moves the measure alone.
    pairs.captions[held_out[0]] = "sea sea sea"
    changed, _ = measure(pairs, trunk_of(), config)
    assert changed != value


@pytest.mark.parametrize(("count", "fraction", "expected"), [(10, 0.0, 0), (10, 0.19, 0), (10, 0.2, 2), (3, 0.9, 2)])
def test_one_held_out_pair_measures_nothing(count: int, fraction: float, expected: int):
    value, num_held_out = measure(clean_of(count), trunk_of(), config_of(held_out_fraction=fraction))
    assert num_held_out == expected
    assert (value is None) == (expected == 0)


@pytest.mark.parametrize(
    "values",
    [
        {"held_out_fraction": 1},
        {"image_ridge": 0},
        {"text_ridge": -1},
        {"context_length": 2},
        {"embed_dim": 0},
        {"class_pairs": -0.1},
        {"image_mean": [0.5, 0.5]},
    ],
)
def test_what_cannot_be_trained_is_refused_by_its_field(values: dict):
    common = {"clean": "c", "output": "o", "image_trunk_weights": "w"}
    with pytest.raises(ConfigError, match=next(iter(values))):
        TrainDfnConfig.from_values({**common, **values})
