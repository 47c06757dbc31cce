"""The sources of a run: which kinds, which names, where they lie."""

from __future__ import annotations

from pathlib import Path

import pytest

from oqvl_pack.config import MixturePart, PackConfig
from oqvl_pack.documents.source import TEMPLATE_OF_KIND, list_shards, open_sources, relative_directory
from oqvl_shards.errors import ConfigError, ManifestError


def config(output: Path, *sources: Path, **values: object) -> PackConfig:
    mixture = [{"source": source} for source in sources]
    return PackConfig.model_validate({"mixture": mixture, "output": output, "tokenizer": "t", **values})


def test_shards_of_one_source_are_named_by_their_path(captions: Path, tmp_path: Path) -> None:
    [source] = sources = open_sources(config(tmp_path / "out", captions))
    shards = list_shards(sources)
    assert [shard.name for shard in shards] == ["00000.tar", "00001.tar", "00002.tar"]
    assert [shard.path for shard in shards] == sorted(captions.glob("*.tar"))
    assert {(shard.source, shard.template) for shard in shards} == {(0, "caption")}
    assert relative_directory(source, tmp_path / "deep" / "out") == "../../captions"


def test_shards_of_a_mixture_are_named_by_their_source(captions: Path, conversations: Path, tmp_path: Path) -> None:
    shards = list_shards(open_sources(config(tmp_path, conversations, captions)))
    assert [shard.name for shard in shards][:3] == ["turns/00000.tar", "turns/00001.tar", "source/00000.tar"]
    assert [shard.template for shard in shards] == ["conversation"] * 2 + ["caption"] * 3
    assert [shard.source for shard in shards] == [0, 0, 1, 1, 1]


def test_two_sources_of_one_name(captions: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="two sources of the mixture are named 'source'"):
        open_sources(config(tmp_path, captions, captions))


def test_another_kind_or_none(captions: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is of kind image_text, expected interleaved for template 'interleaved'"):
        open_sources(config(tmp_path, captions, template="interleaved"))
    with pytest.raises(ManifestError, match="is not a directory"):
        open_sources(config(tmp_path, tmp_path / "nothing"))


def test_more_samples_than_there_are(captions: Path, tmp_path: Path) -> None:
    asked = config(tmp_path, captions)
    mixture = (MixturePart(source=captions, num_samples=121),)
    with pytest.raises(ConfigError, match=r"num_samples is 121, but .*captions has 120"):
        open_sources(asked.model_copy(update={"source": None, "mixture": mixture}))


@pytest.mark.parametrize(
    ("template", "kind"), [("caption", "image_text"), ("conversation", "conversation"), ("interleaved", "interleaved")]
)
def test_every_kind_has_a_template(
    captions: Path, conversations: Path, interleaved: Path, tmp_path: Path, template: str, kind: str
) -> None:
    path_of = {"image_text": captions, "conversation": conversations, "interleaved": interleaved}
    for values in ({}, {"template": template}):
        shards = list_shards(open_sources(config(tmp_path, path_of[kind], **values)))
        assert {shard.template for shard in shards} == {template}
    assert sorted(TEMPLATE_OF_KIND.values()) == ["caption", "conversation", "interleaved"]


def test_errors_say_what_to_do(captions: Path, tmp_path: Path) -> None:
    calls = {
        "leave out template": config(tmp_path, captions, template="conversation"),
        "import one of them again under another name": config(tmp_path, captions, captions),
    }
    for hint, settings in calls.items():
        with pytest.raises(ConfigError) as caught:
            open_sources(settings)
        assert hint in caught.value.hint


def test_a_directory_next_to_its_output(captions: Path, tmp_path: Path) -> None:
    [source] = open_sources(config(tmp_path, captions))
    assert relative_directory(source, captions.parent / "packed") == "../captions"
    assert relative_directory(source, captions) == "."
    (tmp_path / "link").symlink_to(captions.parent, target_is_directory=True)
    assert relative_directory(source, tmp_path / "link" / "packed") == "../captions"


def test_shards_know_how_many_samples_they_must_hold(captions: Path, conversations: Path, tmp_path: Path) -> None:
    shards = list_shards(open_sources(config(tmp_path, captions, conversations)))
    assert [shard.num_samples for shard in shards] == [40, 40, 40, 30, 30]
