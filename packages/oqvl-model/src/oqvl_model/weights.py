"""Fill a fresh model's parts with weights from local files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import Qwen2ForCausalLM, SiglipVisionModel

from oqvl_model.vision import SiglipTower, TimmTower, timm_network
from oqvl_shards.errors import ConfigError

_COUNTER = "num_batches_tracked"


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
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch and safetensors raise a dozen unrelated types on broken files
        raise ConfigError(f"{path} cannot be read as a state dict: {error}") from error
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ConfigError(f"{path} holds no state dict: expected names and tensors")
    return dict(state)


def _rename_in_order(found: Mapping[str, Tensor], expected: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    if len(found) != len(expected):
        raise ConfigError(
            f"{path} has {len(found)} tensors (batch counters left out), expected {len(expected)}",
            hint="it must hold exactly the weights of the configured architecture",
        )
    return dict(zip(expected, found.values(), strict=True))
