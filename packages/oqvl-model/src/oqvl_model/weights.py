"""Fill a fresh model's parts with weights from local files."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import Qwen2ForCausalLM, SiglipVisionModel

from oqvl_model.vision import SiglipTower, TimmTower, timm_network
from oqvl_shards.errors import ConfigError

_COUNTER = "num_batches_tracked"
_NUM_BYTES_SHOWN = 32


def load_siglip(tower: SiglipTower, directory: Path) -> None:
    """Copy embeddings and the first blocks from a SigLIP model directory into `tower`."""
    whole = SiglipVisionModel.from_pretrained(directory, dtype=torch.float32)
    tower.embeddings.load_state_dict(whole.embeddings.state_dict())
    for layer, source in zip(tower.layers, whole.encoder.layers, strict=False):
        layer.load_state_dict(source.state_dict())


def load_timm(tower: TimmTower, path: Path) -> None:
    """Copy a whole network's state dict into `tower`, which holds its first stages.

    A file whose names are timm's is taken by name. Any other (the same network in another code base) is taken in order,
    without the batch norms' counters; then number and shapes of all tensors must agree.

    Raises:
        ConfigError: When the file is no state dict, or does not fit the network.
    """
    network = timm_network(tower.config.architecture)
    expected = {name: tensor for name, tensor in network.state_dict().items() if not name.endswith(_COUNTER)}
    found = {name: tensor for name, tensor in _read_state_dict(path).items() if not name.endswith(_COUNTER)}
    if found.keys() != expected.keys():
        found = _rename_in_order(found, expected, path)
    for name, tensor in expected.items():
        if tensor.shape != found[name].shape:
            raise ConfigError(f"{path}: {name} has shape {tuple(found[name].shape)}, expected {tuple(tensor.shape)}")
    wanted = [name for name in tower.network.state_dict() if not name.endswith(_COUNTER)]
    tower.network.load_state_dict({name: found[name] for name in wanted}, strict=False)


def load_text(text: Qwen2ForCausalLM, directory: Path) -> None:
    """Copy a Qwen2 model directory's weights into `text`; embedding rows beyond the source's keep fresh weights."""
    source = Qwen2ForCausalLM.from_pretrained(directory, dtype=torch.float32)
    tables = {
        name for name, module in source.named_modules() if module in (source.get_input_embeddings(), source.lm_head)
    }
    state = source.state_dict()
    target = text.state_dict()
    for table in tables:
        rows = min(len(state[f"{table}.weight"]), len(target[f"{table}.weight"]))
        target[f"{table}.weight"][:rows] = state.pop(f"{table}.weight")[:rows]
    text.load_state_dict(state, strict=False)


def _read_state_dict(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's about pickles; a file that cannot be read is described below
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch and safetensors raise a dozen unrelated types on broken files
        # Their words are left out: torch's advise to let the file run code.
        raise ConfigError(
            f"{path} cannot be read as a state dict: found {_describe_content(path)}, expected names and tensors, "
            "saved by safetensors (.safetensors) or torch.save (any other suffix)",
            hint="give the file of the weights alone: torch.save(network.state_dict(), path)",
        ) from error
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ConfigError(f"{path} holds no state dict: expected names and tensors")
    return dict(state)


def _describe_content(path: Path) -> str:
    if not path.is_file():
        return "no file"
    if zipfile.is_zipfile(path):
        try:
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
        except zipfile.BadZipFile:
            return "a damaged zip archive"
        if any(name.endswith("/data.pkl") for name in names):
            return "a file of torch.save with other objects than tensors, or a damaged one"
        return f"a zip archive of {len(names)} files, not one of torch.save"
    with path.open("rb") as file:
        head = file.read(_NUM_BYTES_SHOWN)
    if not head:
        return "an empty file"
    text = head.decode("ascii", errors="ignore")
    is_text = len(text) == len(head) and all(character.isprintable() or character.isspace() for character in text)
    return f"text that begins {text!r}" if is_text else f"bytes that begin {head!r}"


def _rename_in_order(found: Mapping[str, Tensor], expected: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    if len(found) != len(expected):
        raise ConfigError(
            f"{path} has {len(found)} tensors (batch counters left out), expected {len(expected)}",
            hint="it must hold exactly the weights of the configured architecture",
        )
    return dict(zip(expected, found.values(), strict=True))
