from __future__ import annotations

import zipfile
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from transformers import Qwen2Config, Qwen2ForCausalLM, SiglipVisionModel

from oqvl_model.configuration_oqvl import TimmTowerConfig
from oqvl_model.vision import SiglipTower, TimmTower, timm_network
from oqvl_model.weights import load_siglip, load_text, load_timm
from oqvl_shards.errors import ConfigError

LITE0 = "tf_efficientnet_lite0"


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(3)
    return timm_network(LITE0)


def test_weights_of_another_code_base_are_taken_in_order(network, tmp_path):
    renamed = {
        f"part{index}.{'num_batches_tracked' if name.endswith('num_batches_tracked') else 'x'}": tensor
        for index, (name, tensor) in enumerate(network.state_dict().items())
    }
    torch.save(renamed, tmp_path / "renamed.pth")
    torch.save(network.state_dict(), tmp_path / "named.pth")
    save_file(network.state_dict(), tmp_path / "named.safetensors")
    expected = network.state_dict()
    for name in ("renamed.pth", "named.pth", "named.safetensors"):
        tower = TimmTower(TimmTowerConfig(feature_stride=16, hidden_size=112))
        load_timm(tower, tmp_path / name)
        assert all(torch.equal(tensor, expected[key]) for key, tensor in tower.network.state_dict().items())


def test_weights_that_do_not_fit_are_refused(network, tmp_path):
    tower = TimmTower(TimmTowerConfig(feature_stride=16, hidden_size=112))
    state = dict(network.state_dict())
    first = next(iter(state))
    for name, content, message in [
        ("short", {k: v for k, v in state.items() if k != first}, "tensors"),
        ("shape", state | {first: torch.zeros(1)}, "shape"),
        ("list", [1, 2], "is not a state dict: found a list"),
        (
            "code",
            {"f": torch.nn.Identity()},
            "found a torch.save file that is damaged or has objects other than tensors",
        ),
    ]:
        torch.save(content, tmp_path / f"{name}.pth")
        with pytest.raises(ConfigError, match=message):
            load_timm(tower, tmp_path / f"{name}.pth")


def test_another_file_is_described_and_nobody_advised_to_run_it(tmp_path):
    tower = TimmTower(TimmTowerConfig(feature_stride=16, hidden_size=112))
    (tmp_path / "text.pth").write_text("version 1 of a pointer to the weights, not the weights")
    (tmp_path / "empty.pth").write_bytes(b"")
    (tmp_path / "bytes.pth").write_bytes(b"\x80\x04]\x94.")
    (tmp_path / "bytes.safetensors").write_bytes(b"\xff" * 20)
    with zipfile.ZipFile(tmp_path / "archive.pth", "w") as archive:
        archive.writestr("readme.txt", "hello")
    whole = (tmp_path / "archive.pth").read_bytes()
    (tmp_path / "damaged.pth").write_bytes(whole.replace(b"PK\x01\x02", b"PK\x00\x00"))
    (tmp_path / "page.pth").write_text("<!doctype html>\n<p>Not found\n")
    (tmp_path / "folder.pth").mkdir()
    for name, found in [
        (
            "text.pth",
            "found text that starts with 'version 1 of a pointer to the we', expected names and tensors saved",
        ),
        ("empty.pth", "found an empty file"),
        ("bytes.pth", r"found bytes that start with b'\x80\x04]\x94.'"),
        ("bytes.safetensors", "found bytes that start with"),
        ("archive.pth", "found a zip archive of 1 files that torch.save did not write"),
        ("damaged.pth", "found a damaged zip archive"),
        ("page.pth", r"found text that starts with '<!doctype html>\n<p>Not found\n'"),
        ("folder.pth", "found no file"),
    ]:
        with pytest.raises(ConfigError) as caught:
            load_timm(tower, tmp_path / name)
        assert found in caught.value.message
        assert "weights_only" not in str(caught.value)


def test_a_siglip_gives_its_embeddings_and_first_blocks(make_config, tmp_path):
    torch.manual_seed(1)
    config = make_config()
    siglip: Any = SiglipVisionModel(config.vision_config)
    siglip.save_pretrained(tmp_path)
    tower = SiglipTower(config.vision_config, num_blocks=2)
    load_siglip(tower, tmp_path)
    assert torch.equal(tower.embeddings.patch_embedding.weight, siglip.embeddings.patch_embedding.weight)
    for layer, source in zip(tower.layers, siglip.encoder.layers[:2], strict=True):
        expected = source.state_dict()
        assert all(torch.equal(tensor, expected[name]) for name, tensor in layer.state_dict().items())


@pytest.mark.parametrize("num_rows", [320, 352])
def test_a_longer_embedding_keeps_its_fresh_rows(make_config, tmp_path, num_rows):
    torch.manual_seed(1)
    values = make_config().text_config.to_dict()
    source = Qwen2ForCausalLM(Qwen2Config(**values))
    source.save_pretrained(tmp_path)
    text = Qwen2ForCausalLM(Qwen2Config(**values | {"vocab_size": num_rows}))
    fresh = text.model.embed_tokens.weight.detach().clone()
    load_text(text, tmp_path)
    assert torch.equal(text.model.embed_tokens.weight[:320], source.model.embed_tokens.weight)
    assert torch.equal(text.model.embed_tokens.weight[320:], fresh[320:])
    assert text.lm_head.weight is text.model.embed_tokens.weight
    assert torch.equal(text.model.norm.weight, source.model.norm.weight)
