"""A data filtering network: a small CLIP, made of clean pairs, that separates good from bad pairs in a noisy pool.

The idea is from Fang et al., 2023, "Data Filtering Networks" (arXiv 2309.17425): a filter is as good as its training
pairs are clean, however few they are. Here the image trunk is pretrained and frozen, captions are bags of words, and
the two linear heads are solved for (`oqvl_filter.dfn.correlation`). The result is an ordinary open_clip model.

The trunk knows the 1000 classes of ImageNet. Each class adds one pair: its name, and its row in the trunk's classifier,
which is the direction of its images' features. Words that occur in no clean caption thus get a meaning too.

Shape suffixes: N pairs, X image features, T token features, V vocabulary, K embedding.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial, reduce
from operator import add
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from oqvl_filter.dfn.bag_of_words import text_width, write_bag_of_words
from oqvl_filter.dfn.config import TrainDfnConfig
from oqvl_filter.dfn.correlation import Moments, canonical_directions
from oqvl_filter.pool import pool_samples, read_pair
from oqvl_filter.uid_array import hash_uids
from oqvl_shards.atomic import atomic_write
from oqvl_shards.dataset import Dataset, describe_file
from oqvl_shards.errors import ConfigError, DataError
from oqvl_shards.manifest import Account, Shard
from oqvl_shards.shard_map import map_shards
from oqvl_shards.tar.reader import ShardReader
from oqvl_shards.tar.sample import SampleError
from oqvl_shards.uid import UID_DTYPE, uid_to_words

if TYPE_CHECKING:
    from open_clip.model import CustomTextCLIP
    from torch import Tensor, nn

_CONFIG_FILE = "open_clip_config.json"
_WEIGHTS_FILE = "open_clip_model.safetensors"

_ROWS_AT_ONCE = 4096


@dataclass(frozen=True)
class CleanPairs:
    """Clean pairs, with images as features of the trunk.

    Args:
        features_NX: The frozen trunk's output, float32.
        captions: [N] captions.
        uids: [N] of dtype `UID_DTYPE`.
        account: What became of the samples.
    """

    features_NX: NDArray[np.float32]
    captions: list[str]
    uids: NDArray[np.void]
    account: Account


def _model_config(config: TrainDfnConfig) -> dict[str, Any]:
    """Return the content of `open_clip_config.json`."""
    return {
        "model_cfg": {
            "custom_text": True,
            "embed_dim": config.embed_dim,
            "text_cfg": {
                "context_length": config.context_length,
                "heads": 1,
                "layers": 1,
                "mlp_ratio": 1.0,
                "vocab_size": 49408,  # open_clip's own byte-pair encoding
                "width": text_width(config.embed_dim),
            },
            "vision_cfg": {
                "image_size": config.image_size,
                "timm_model_name": config.image_trunk,
                "timm_pool": "avg",
                "timm_proj": "linear",
                "timm_proj_bias": True,
            },
        },
        # Squashed, not cropped: what a caption describes may be at the edge.
        "preprocess_cfg": {
            "interpolation": "bicubic",
            "mean": list(config.image_mean),
            "resize_mode": "squash",
            "std": list(config.image_std),
        },
    }


def digest_weights_file(path: Path) -> str:
    """Return the sha256 of a weights file.

    Raises:
        ConfigError: If there is no file at `path`.
    """
    if not path.is_file():
        raise ConfigError(f"no file at {path}", hint="check image_trunk_weights=")
    return describe_file(path, path.parent, 0).sha256


class FrozenTrunk:
    """A pretrained timm model as a feature extractor.

    Args:
        config: Which model, and its weights.

    Raises:
        ConfigError: If the weights cannot be read or do not fit the model.
    """

    def __init__(self, config: TrainDfnConfig) -> None:
        import timm
        import torch
        from open_clip.transform import PreprocessCfg, image_transform_v2

        try:
            model: Any = timm.create_model(config.image_trunk, pretrained=False)
        except RuntimeError as error:
            raise ConfigError(
                f"timm has no model {config.image_trunk!r}: {error}", hint="see timm.list_models()"
            ) from error
        load_in_order(model, config.image_trunk_weights)
        self.class_directions: Tensor = model.get_classifier().weight.detach().clone()
        model.reset_classifier(0, global_pool="avg")
        self._model: Any = model.eval().to(memory_format=torch.channels_last)
        preprocessing = PreprocessCfg(size=config.image_size, **_model_config(config)["preprocess_cfg"])
        self.preprocess: Any = image_transform_v2(preprocessing, is_train=False)

    def features(self, pixels: Sequence[Tensor]) -> NDArray[np.float32]:
        """Return the features [B, X] of preprocessed images."""
        import torch

        with torch.inference_mode():
            return self._model(torch.stack(list(pixels)).contiguous(memory_format=torch.channels_last)).numpy()

    def state_dict(self) -> dict[str, Tensor]:
        """Return the weights without the classifier."""
        return self._model.state_dict()


def load_in_order(model: nn.Module, path: Path) -> None:
    """Load the tensors in `path` into `model` by name, or else by position with their shapes checked.

    Many published weights differ from timm's only in their names. Batch counters, which some lack, are ignored.

    Raises:
        ConfigError: If the file cannot be read, or its tensors do not fit.
    """
    import torch
    from safetensors.torch import load_file

    try:
        loaded = (
            load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, map_location="cpu", weights_only=True)
        )
    except Exception as error:  # the loaders raise anything for a damaged or foreign file
        # torch's own message advises loading the file with pickle, which would run its content.
        raise ConfigError(
            f"{path} is not a file of tensors ({type(error).__name__})",
            hint="image_trunk_weights= must name a .safetensors file, or a state dict that torch.save wrote",
        ) from error
    wanted = {name: tensor for name, tensor in model.state_dict().items() if not name.endswith("num_batches_tracked")}
    given = {name: tensor for name, tensor in loaded.items() if not name.endswith("num_batches_tracked")}
    names = list(wanted if given.keys() == wanted.keys() else given)
    shapes = [tuple(given[name].shape) for name in names]
    expected = [tuple(tensor.shape) for tensor in wanted.values()]
    if shapes != expected:
        place = next((i for i, (a, b) in enumerate(zip(shapes, expected, strict=False)) if a != b), "the end")
        raise ConfigError(
            f"{path} holds {len(shapes)} tensors, the model has {len(expected)}; they first differ in shape at {place}",
            hint="image_trunk and image_trunk_weights must belong together",
        )
    model.load_state_dict(dict(zip(wanted, (given[name] for name in names), strict=True)), strict=False)


def read_clean_pairs(clean: Dataset, trunk: FrozenTrunk, config: TrainDfnConfig) -> CleanPairs:
    """Read all pairs of `clean` once, and run their images through the trunk.

    Raises:
        DataError: If fewer than two pairs are usable.
    """
    parts = map_shards(
        partial(_read_shard, clean=clean, trunk=trunk, config=config),
        clean.manifest.shards,
        description="trunk features",
        name=lambda shard: shard.path,
    )
    account = Account.total(part.account for part in parts)
    if account.num_kept < 2:
        raise DataError(
            f"{clean.path} has {account.num_kept} usable pairs of {account.num_in}, at least 2 are needed",
            hint=f"rejected: {account.rejected}" if account.rejected else "",
        )
    return CleanPairs(
        np.concatenate([part.features_NX for part in parts if len(part.uids)]),
        [caption for part in parts for caption in part.captions],
        np.concatenate([part.uids for part in parts]),
        account,
    )


def _read_shard(shard: Shard, clean: Dataset, trunk: FrozenTrunk, config: TrainDfnConfig) -> CleanPairs:
    """Return the usable pairs of one shard, one batch of images at a time."""
    captions: list[str] = []
    uids: list[tuple[int, int]] = []
    features: list[NDArray[np.float32]] = []
    rejected: Counter[str] = Counter()
    with ShardReader(clean.whole_shard_path(shard), config.limits, name=shard.path) as reader:
        samples = pool_samples(reader, clean.manifest.name)
        for start in range(0, len(samples), config.batch_size):
            pixels = []
            for sample in samples[start : start + config.batch_size]:
                try:
                    caption, image = read_pair(reader, sample, config.limits)
                except SampleError as error:
                    rejected[str(error.reason)] += 1
                    continue
                captions.append(caption)
                uids.append(uid_to_words(sample.uid.value))
                pixels.append(trunk.preprocess(image))
            if pixels:
                features.append(trunk.features(pixels))
    features_NX = np.concatenate(features) if features else np.empty((0, 0), np.float32)
    account = Account(num_in=len(samples), num_kept=len(uids), rejected=dict(sorted(rejected.items())))
    return CleanPairs(features_NX, captions, np.array(uids, dtype=UID_DTYPE), account)


class BagOfWords:
    """Captions as counts of the tokens that occur in training captions, and a constant 1.

    Counts are scaled so that the training captions have a mean square of 1, not counting the constant.

    Args:
        captions: The training captions.
        config: How many tokens of a caption are read, and how many get a vector.
    """

    def __init__(self, captions: Sequence[str], config: TrainDfnConfig) -> None:
        from open_clip.tokenizer import SimpleTokenizer

        self._tokenizer = SimpleTokenizer(context_length=config.context_length)
        self.start_token: int = self._tokenizer.sot_token_id
        self.vocab_size: int = self._tokenizer.vocab_size
        frequencies = Counter(token for caption in captions for token in self._tokens(caption))
        chosen = sorted(frequencies, key=lambda token: (-frequencies[token], token))[: config.max_vocabulary]
        self._columns = {token: column for column, token in enumerate(chosen)}
        self._scale = float(np.square(self._counts(captions)).sum(axis=1).mean() ** -0.5)

    def features(self, captions: Sequence[str]) -> NDArray[np.float64]:
        """Return the features [N, T + 1] of `captions`, the constant last."""
        return np.hstack([self._counts(captions) * self._scale, np.ones((len(captions), 1))])

    def token_vectors(self, word_map_TK: Tensor) -> Tensor:
        """Return one vector per token of the vocabulary [V, K], given a map of the features without the constant."""
        import torch

        vectors_VK = torch.zeros(self.vocab_size, word_map_TK.shape[1], dtype=word_map_TK.dtype)
        vectors_VK[list(self._columns)] = word_map_TK * self._scale
        return vectors_VK

    def _tokens(self, caption: str) -> list[int]:
        ids = self._tokenizer([caption])[0].tolist()
        return [token for token in ids if token not in (0, self.start_token, self._tokenizer.eot_token_id)]

    def _counts(self, captions: Sequence[str]) -> NDArray[np.float64]:
        counts_NT = np.zeros((len(captions), len(self._columns)))
        for row, caption in enumerate(captions):
            for token in self._tokens(caption):
                if token in self._columns:
                    counts_NT[row, self._columns[token]] += 1
        return counts_NT


@dataclass(frozen=True)
class LinearHeads:
    """What is learned: `embed(image) = (features - mean) @ image_map`, `embed(caption) = words.features @ text_map`.

    Args:
        mean_X: Mean of the image features.
        image_map_XK: Map of the centred image features.
        words: Turns captions into text features.
        text_map_TK: Map of the text features, the constant's row last.
    """

    mean_X: Tensor
    image_map_XK: Tensor
    words: BagOfWords
    text_map_TK: Tensor

    def cosines(self, features_NX: NDArray[np.float32], captions: Sequence[str]) -> NDArray[np.float64]:
        """Return the cosine [N, N] of every image (rows) with every caption (columns)."""
        import torch
        from torch.nn.functional import normalize

        images_NK = normalize((torch.from_numpy(features_NX).double() - self.mean_X) @ self.image_map_XK)
        captions_NK = normalize(torch.from_numpy(self.words.features(captions)) @ self.text_map_TK)
        return (images_NK @ captions_NK.T).numpy()


def fit_heads(
    features_NX: NDArray[np.float32], captions: Sequence[str], trunk: FrozenTrunk, config: TrainDfnConfig
) -> LinearHeads:
    """Solve for the two heads on clean pairs, and on the pairs that the trunk's classifier adds.

    Args:
        features_NX: The trunk's output.
        captions: [N] captions.
        trunk: The trunk, for its classifier.
        config: Regularisation and sizes.
    """
    import torch
    from open_clip import IMAGENET_CLASSNAMES

    has_classes = config.class_pairs > 0 and len(trunk.class_directions) == len(IMAGENET_CLASSNAMES)
    class_names = IMAGENET_CLASSNAMES if has_classes else []
    words = BagOfWords([*captions, *class_names], config)
    mean_X = torch.from_numpy(features_NX.mean(axis=0, dtype=np.float64))
    scale_X = torch.from_numpy(features_NX.std(axis=0, dtype=np.float64)) + 1e-6
    # The moments of some rows at a time: float64 features of all captions would not fit into memory.
    starts = range(0, len(captions), _ROWS_AT_ONCE)
    parts = (
        Moments.of(
            (torch.from_numpy(features_NX[rows]).double() - mean_X) / scale_X,
            torch.from_numpy(words.features(captions[rows])),
        )
        for rows in (slice(start, start + _ROWS_AT_ONCE) for start in starts)
    )
    moments = reduce(add, parts)
    if has_classes:
        # The classifier's rows are directions without a length, so they are brought to the scale of the features.
        directions_CX = trunk.class_directions.double() - trunk.class_directions.double().mean(dim=0)
        directions_CX = directions_CX / directions_CX.std()
        moments += Moments.of(directions_CX, torch.from_numpy(words.features(class_names)), config.class_pairs)
    image_map_XK, text_map_TK = canonical_directions(moments, config.image_ridge, config.text_ridge, config.embed_dim)
    return LinearHeads(mean_X, image_map_XK / scale_X.unsqueeze(1), words, text_map_TK)


def measure(pairs: CleanPairs, trunk: FrozenTrunk, config: TrainDfnConfig) -> tuple[float | None, int]:
    """Return the separation that heads reach on held-out pairs, which they never saw, and the number of these pairs.

    Only the hash of its uid decides whether a pair is held out.
    """
    order = np.argsort(hash_uids(pairs.uids, seed=0), kind="stable")
    num_held_out = int(config.held_out_fraction * len(order))
    if num_held_out < 2:
        return None, 0
    held_out, rest = np.sort(order[:num_held_out]).tolist(), np.sort(order[num_held_out:]).tolist()
    captions = [pairs.captions[row] for row in held_out]
    heads = fit_heads(pairs.features_NX[rest], [pairs.captions[row] for row in rest], trunk, config)
    return separation(heads.cosines(pairs.features_NX[held_out], captions), captions), num_held_out


def assemble(heads: LinearHeads, trunk: FrozenTrunk, config: TrainDfnConfig) -> CustomTextCLIP:
    """Return the open_clip model that embeds images and captions like `heads` on `trunk`."""
    import torch
    from open_clip.model import CustomTextCLIP

    settings = dict(_model_config(config)["model_cfg"])
    del settings["custom_text"]
    model: Any = CustomTextCLIP(**settings)
    with torch.no_grad():
        model.visual.trunk.load_state_dict(trunk.state_dict())
        model.visual.head.proj.weight.copy_(heads.image_map_XK.T)
        model.visual.head.proj.bias.copy_(-(heads.mean_X @ heads.image_map_XK))
        vectors_VK = heads.words.token_vectors(heads.text_map_TK[:-1])
        write_bag_of_words(model.text, vectors_VK, heads.text_map_TK[-1], heads.words.start_token)
    return model.eval()


def separation(cosines_NN: NDArray[np.float64], captions: Sequence[str]) -> float | None:
    """Return the area under the ROC curve of true pairs (the diagonal) against images with other pairs' captions.

    It is the probability that a true pair scores higher than a false one, with ties counting half (Hanley and McNeil,
    1982). Pairs with equal captions do not form false pairs with each other. None if there are no false pairs.
    """
    names = np.unique(np.array(captions, dtype=object), return_inverse=True)[1]
    false = np.sort(cosines_NN[names[:, None] != names[None, :]])
    if not len(false):
        return None
    true_N = np.diagonal(cosines_NN)
    below_N = np.searchsorted(false, true_N, side="left")
    not_above_N = np.searchsorted(false, true_N, side="right")
    return float((below_N + not_above_N).mean() / (2 * len(false)))


def write_network(network: CustomTextCLIP, config: TrainDfnConfig) -> list[Path]:
    """Write the two files that open_clip loads as `local-dir:`, and return their paths."""
    from safetensors.torch import save

    configuration, weights = config.output / _CONFIG_FILE, config.output / _WEIGHTS_FILE
    atomic_write(configuration, (json.dumps(_model_config(config), indent=2, sort_keys=True) + "\n").encode())
    atomic_write(weights, save(network.state_dict(), {"format": "pt"}))
    return [configuration, weights]
