from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from oqvl_model import initialization, run
from oqvl_model.config import GenerateConfig, InitConfig, ShowConfig
from oqvl_model.modeling_oqvl import OqvlForConditionalGeneration
from oqvl_model.processing_oqvl import OqvlProcessor
from oqvl_shards.dataset import open_dataset
from oqvl_shards.errors import ConfigError
from oqvl_shards.manifest import CheckpointDetails, Kind

SIGLIP = {
    "image_size": 24,
    "patch_size": 6,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_layers": 3,
    "num_attention_heads": 2,
}
TEXT = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
}


@pytest.fixture
def tokenizer_path(tmp_path, tokenizer_json):
    path = tmp_path / "tokenizer.json"
    path.write_bytes(tokenizer_json)
    return path


@pytest.fixture
def values(tmp_path, tokenizer_path):
    return {
        "output": tmp_path / "model",
        "tokenizer": tokenizer_path,
        "vision": SIGLIP,
        "text": TEXT,
        "visual_tokens_per_image": 4,
    }


def files(directory):
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_a_model_directory_is_built_whole(values, tokenizer_json):
    report = run.init(InitConfig.from_values(values))
    dataset = open_dataset(values["output"], Kind.CHECKPOINT)
    assert dataset.manifest.details == CheckpointDetails(
        architecture="OqvlForConditionalGeneration", stage="init", visual_tokens_per_image=4
    )
    assert {shard.path for shard in dataset.manifest.shards} == set(files(values["output"])) - {"manifest.json"}
    model: Any = OqvlForConditionalGeneration.from_pretrained(values["output"])
    assert report.num_parameters == sum(parameter.numel() for parameter in model.parameters())
    assert len(model.vision.layers) == 2
    assert model.config.text_config.vocab_size == 320
    processor = OqvlProcessor.from_pretrained(values["output"])
    assert processor.tokenizer_json == tokenizer_json
    assert model.config.image_token_id == processor.image_token_id
    assert model.generation_config.eos_token_id == processor.end_token_id
    assert str(report.output) in report.table()


def test_the_same_configuration_gives_the_same_bytes_and_no_work(values, tmp_path):
    first = run.init(InitConfig.from_values(values))
    before = {path: path.stat().st_mtime_ns for path in values["output"].iterdir()}
    assert run.init(InitConfig.from_values(values)) == first
    assert {path: path.stat().st_mtime_ns for path in values["output"].iterdir()} == before
    again = run.init(InitConfig.from_values(values | {"output": tmp_path / "again"}))
    assert again.digest == first.digest
    assert files(tmp_path / "again") == files(values["output"])


def test_missing_special_tokens_are_added(values):
    run.init(InitConfig.from_values(values | {"image_token": "<picture>", "bos_token": "<begin>"}))
    processor = OqvlProcessor.from_pretrained(values["output"])
    ids = [processor.special_id(token) for token in ("<|endofchunk|>", "<begin>", "<picture>")]
    assert ids == [300, 301, 302]
    model: Any = OqvlForConditionalGeneration.from_pretrained(values["output"])
    assert model.config.image_token_id == 302


def test_the_lineage_names_newer_choices_only_if_they_are_made(values, tmp_path):
    first = run.init(InitConfig.from_values(values))
    chosen = {"projector_init": "linear", "chat_template": "open-qwen2vl"}
    second = run.init(InitConfig.from_values(values | chosen | {"output": tmp_path / "second"}))
    lineages = [open_dataset(report.output).manifest.lineage.config for report in (first, second)]
    assert set(lineages[0]) == {"config", "inputs"}
    assert not set(chosen) & set(lineages[0]["config"])
    assert {key: lineages[1][key] for key in chosen} == chosen


def test_another_seed_gives_other_weights(values, tmp_path):
    first = run.init(InitConfig.from_values(values))
    second = run.init(InitConfig.from_values(values | {"output": tmp_path / "second", "seed": 8}))
    assert first.digest != second.digest
    with pytest.raises(ConfigError, match="already holds"):
        run.init(InitConfig.from_values(values | {"seed": 8}))


def test_an_output_that_another_run_is_writing_is_refused(values, monkeypatch):
    config, build_model = InitConfig.from_values(values), initialization.build_model

    def build_while_another_starts(config):
        with pytest.raises(ConfigError, match="is being written by oqvl-model init"):
            run.init(config)
        return build_model(config)

    monkeypatch.setattr(initialization, "build_model", build_while_another_starts)
    run.init(config)
    assert open_dataset(values["output"]).manifest.kind == Kind.CHECKPOINT
    assert not {"claim.json", "unfinished.json"} & set(files(values["output"]))


def test_the_lineage_names_inputs_by_their_digests(values, tokenizer_json):
    run.init(InitConfig.from_values(values))
    lineage = open_dataset(values["output"]).manifest.lineage
    assert lineage.config["inputs"] == {"tokenizer": hashlib.sha256(tokenizer_json).hexdigest()}
    assert lineage.config["config"]["tokenizer"] == "tokenizer.json"
    assert "output" not in lineage.config["config"]
    assert lineage.parents == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tokenizer": "missing.json"}, "tokenizer"),
        ({"visual_tokens_per_image": 6}, "square"),
        ({"visual_tokens_per_image": 25}, "from 1 to 16"),
        ({"text": {"directory": "nowhere"}}, "text.directory"),
        ({"vision": {"kind": "timm", "weights": "nowhere.pth"}}, "vision.weights"),
    ],
)
def test_what_does_not_fit_is_named(values, change, message):
    with pytest.raises(ConfigError, match=message):
        run.init(InitConfig.from_values(values | change))
    assert not (values["output"] / "manifest.json").exists()
    run.init(InitConfig.from_values(values))


def test_a_model_is_shown(values):
    run.init(InitConfig.from_values(values))
    report = run.show(ShowConfig(checkpoint=values["output"], document_tokens=20))
    model: Any = OqvlForConditionalGeneration.from_pretrained(values["output"])
    assert [part.name for part in report.parts] == ["vision", "projector", "text"]
    assert report.num_parameters == model.num_parameters()
    assert (report.grid_size, report.image_size, report.visual_tokens_per_image) == (4, 24, 4)
    assert report.training_gflops_per_token > 0
    assert f"{report.num_parameters:,}" in report.table()
    assert json.loads(report.model_dump_json())["num_parameters"] == report.num_parameters
    with pytest.raises(ConfigError, match=r"config\.json"):
        run.show(ShowConfig(checkpoint=values["output"].parent))


def test_a_model_answers_about_a_file(values, tmp_path, picture):
    run.init(InitConfig.from_values(values))
    picture(0).save(tmp_path / "picture.png")
    asked = {"checkpoint": values["output"], "images": [tmp_path / "picture.png"], "max_new_tokens": 3, "device": "cpu"}
    report = run.generate(GenerateConfig.from_values(asked))
    assert report.table() == report.answer
    assert report == run.generate(GenerateConfig.from_values(asked))
    (tmp_path / "picture.png").write_bytes(b"no picture")
    with pytest.raises(ConfigError, match=r"picture\.png"):
        run.generate(GenerateConfig.from_values(asked))
    with pytest.raises(ConfigError, match="2 <image> marks"):
        GenerateConfig.from_values(asked | {"prompt": "<image><image>"})
