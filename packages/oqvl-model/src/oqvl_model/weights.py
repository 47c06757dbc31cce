"""Load the state dict of a timm network into a tower of a fresh model. Other parts load themselves."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from oqvl_model.vision import TimmTower, timm_network
from oqvl_shards.errors import ConfigError

_BATCH_COUNTER = "num_batches_tracked"
_NUM_BYTES_SHOWN = 32


def load_timm(tower: TimmTower, path: Path) -> None:
    """Copy the state dict of a whole timm network into `tower`, which has the network's first stages.

    Tensors under timm's names are matched by name. Under any other names (the same network in another code base) they
    are matched in order. In both cases the batch norms' counters are left out, and all shapes must agree.

    Raises:
        ConfigError: If the file is not a state dict, or does not fit the network.
    """
    network = timm_network(tower.config.architecture)
    expected = _without_batch_counters(network.state_dict())
    weights = _without_batch_counters(_read_state_dict(path))
    if weights.keys() != expected.keys():
        weights = _rename_in_order(weights, expected, path)
    for name, tensor in expected.items():
        if tensor.shape != weights[name].shape:
            raise ConfigError(
                f"{path}: {name} has shape {tuple(weights[name].shape)}, expected {tuple(tensor.shape)}",
                hint=f"the file must have the weights of {tower.config.architecture}",
            )
    tower_names = _without_batch_counters(tower.network.state_dict())
    tower.network.load_state_dict({name: weights[name] for name in tower_names}, strict=False)


def _without_batch_counters(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in state_dict.items() if not name.endswith(_BATCH_COUNTER)}


def _read_state_dict(path: Path) -> dict[str, Tensor]:
    """Read names and tensors from a file of safetensors or `torch.save`, without executing anything in it."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns about pickles; the error below describes unreadable files
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch and safetensors raise a dozen unrelated types on broken files
        # The original message is left out, because torch's message advises letting the file execute code.
        raise ConfigError(
            f"{path} cannot be read as a state dict: found {describe_content(path)}, expected names and tensors "
            "saved by safetensors (.safetensors) or torch.save (any other suffix)",
            hint="save the weights alone: torch.save(network.state_dict(), path)",
        ) from error
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ConfigError(
            f"{path} is not a state dict: found a {type(state).__name__}, expected names and tensors only",
            hint="save the weights alone: torch.save(network.state_dict(), path)",
        )
    return dict(state)


def describe_content(path: Path) -> str:
    """Say in a few words what kind of file is at `path`, for the error message about an unreadable one."""
    if not path.is_file():
        return "no file"
    if zipfile.is_zipfile(path):
        try:
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
        except zipfile.BadZipFile:
            return "a damaged zip archive"
        if any(name.endswith("/data.pkl") for name in names):
            return "a torch.save file that is damaged or has objects other than tensors"
        return f"a zip archive of {len(names)} files that torch.save did not write"
    with path.open("rb") as file:
        head = file.read(_NUM_BYTES_SHOWN)
    if not head:
        return "an empty file"
    text = head.decode("ascii", errors="ignore")
    is_text = len(text) == len(head) and all(character.isprintable() or character.isspace() for character in text)
    return f"text that starts with {text!r}" if is_text else f"bytes that start with {head!r}"


def _rename_in_order(weights: Mapping[str, Tensor], expected: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    if len(weights) != len(expected):
        raise ConfigError(
            f"{path} has {len(weights)} tensors (not counting batch counters), expected {len(expected)}",
            hint="the file must have exactly the weights of the configured architecture",
        )
    return dict(zip(expected, weights.values(), strict=True))
