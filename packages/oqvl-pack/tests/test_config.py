"""Configurations: what excludes what, and what decides the output."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from oqvl_pack.config import CheckConfig, MixturePart, PackConfig, PlanConfig
from oqvl_shards.errors import ConfigError

BASE = {"output": Path("out"), "tokenizer": Path("tokenizer.json")}


def test_one_source_is_a_mixture_of_one() -> None:
    assert PackConfig.from_values({**BASE, "source": "a"}).mixture_parts == (MixturePart(source=Path("a")),)
    overrides = ["mixture=[{source='a', weight=2}, {source='b', num_samples=5}]"]
    assert [part.weight for part in PackConfig.from_values(BASE, overrides).mixture_parts] == [2, None]


@pytest.mark.parametrize("mixture", ["['a', 'b']", "[{source='a'}, 'b']", "[{source='a'}, {source='b'}]"])
def test_a_path_in_a_mixture_is_all_of_its_dataset(mixture: str) -> None:
    config = PackConfig.from_values(BASE, [f"mixture={mixture}"])
    assert config.mixture_parts == (MixturePart(source=Path("a")), MixturePart(source=Path("b")))
    assert PackConfig.from_values(BASE, ["mixture=a"]).mixture_parts == config.mixture_parts[:1]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "exactly one of source and mixture is required"),
        ({"source": "a", "mixture": [{"source": "b"}]}, "exactly one of source and mixture is required"),
        (
            {"mixture": [{"source": "b", "weight": 1, "num_tokens": 5}]},
            "num_tokens is allowed, not weight and num_tokens",
        ),
        ({"mixture": [{"source": "b", "weight": 0}]}, "greater than 0"),
        ({"mixture": [{"source": "b", "weight": float("inf")}]}, "finite number"),
        ({"source": "a", "bin_capacity": 1 << 31}, "bin_capacity: Input should be less than or equal to 2147483647"),
        ({"source": "a", "algorithm": "exact_fill", "max_documents": 2}, "exact_fill does not support max_documents"),
        ({"source": "a", "end_token": ""}, "end_token: String should have at least 1 character"),
        ({"source": "a", "pad_token": ""}, "pad_token: String should have at least 1 character"),
        ({"source": "a", "min_images": 3, "max_images": 2}, "max_images=2 is below min_images=3"),
    ],
)
def test_what_excludes_each_other(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PackConfig.from_values({**BASE, **values})


def test_help_begins_with_what_is_packed() -> None:
    keys = [
        line.split()[0] for line in PackConfig.help_text().splitlines()[2:] if line.endswith(")") and line[2] != " "
    ]
    assert keys[:4] == ["source", "mixture", "output", "tokenizer"]


def test_a_single_source_of_a_check_is_a_list_of_one() -> None:
    asked = ["packed=p", "tokenizer=t", "mixture=a"]
    assert CheckConfig.from_values({}, asked).mixture == (Path("a"),)


def test_paths_and_workers_do_not_decide_the_output() -> None:
    first = PackConfig.from_values({**BASE, "mixture": [{"source": "a", "weight": 1}], "num_workers": 3})
    second = PackConfig.from_values({**BASE, "mixture": [{"source": "elsewhere", "weight": 1}]})
    third = PackConfig.from_values({**BASE, "mixture": [{"source": "a", "weight": 2}]})
    assert first.digest() == second.digest() != third.digest()


def test_a_line_break_in_the_system_prompt_needs_quotes() -> None:
    asked = ["source=a", "output=o", "tokenizer=t"]
    with pytest.raises(ConfigError, match="has a backslash"):
        PackConfig.from_command_line(None, [*asked, "system_prompt=one\\ntwo"])
    config = PackConfig.from_command_line(None, [*asked, 'system_prompt="one\\ntwo"'])
    assert config.system_prompt == "one\ntwo"


def test_plan_needs_no_output() -> None:
    assert PlanConfig.from_values({"source": "a", "tokenizer": "t"}).output == Path(tempfile.gettempdir())
    assert PlanConfig.from_values({"source": "a", "tokenizer": "t", "output": "o"}).output == Path("o")
    with pytest.raises(ConfigError, match="output: is required"):
        PackConfig.from_values({"source": "a", "tokenizer": "t"})


def test_plan_takes_the_configuration_of_run() -> None:
    values = {**BASE, "source": "a", "bin_capacity": 99}
    assert PlanConfig.from_values(values).bin_capacity == PackConfig.from_values(values).bin_capacity


@pytest.mark.parametrize("name", ["bos_token", "start_token", "chunk_token", "end_token", "pad_token"])
def test_the_placeholder_is_no_other_token(name: str) -> None:
    # As end or start, every document would have more placeholders than images; as pad, a trainer would see images.
    values = {**BASE, "source": "a", "image_token": "<|image_pad|>"}
    with pytest.raises(ConfigError, match=rf"{name} is '<\|image_pad\|>', which image_token uses for images alone"):
        PackConfig.from_values({**values, name: "<|image_pad|>"})
    # Other tokens may be equal: GPT-2 has one for begin, end and padding.
    PackConfig.from_values({**values, **dict.fromkeys(("bos_token", "end_token", "pad_token"), "<|endoftext|>")})


def test_a_check_has_a_source_or_a_mixture() -> None:
    asked = ["packed=p", "tokenizer=t", "source=a"]
    assert CheckConfig.from_values({}, asked).source == Path("a")
    with pytest.raises(ConfigError, match="at most one of source and mixture is allowed"):
        CheckConfig.from_values({}, [*asked, "mixture=b"])
