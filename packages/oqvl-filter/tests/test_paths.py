from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pytest
from pydantic import Field

from oqvl_filter import run
from oqvl_filter.config import ScoreConfig
from oqvl_filter.paths import LabelledPath, LabelledPaths, ending_in, open_scores
from oqvl_shards.config import StageConfig
from oqvl_shards.errors import ConfigError, ManifestError


class Settings(StageConfig):
    one: LabelledPath = Field(default={}, description="one path per label")
    many: LabelledPaths = Field(default={}, description="one or more paths per label")
    page: Annotated[Path, ending_in(".html")] = Path("page.html")


def test_a_label_may_have_one_path_or_several():
    settings = Settings.from_values({"many": {"a": "x", "b": ["y", "z"]}, "one": {"c": "w"}})
    assert settings.many == {"a": (Path("x"),), "b": (Path("y"), Path("z"))}
    assert settings.one == {"c": Path("w")}


@pytest.mark.parametrize("field", ["one", "many"])
@pytest.mark.parametrize("value", ["path", ["path"], ("a", "b")])
def test_a_path_without_a_label_is_refused(field: str, value: object):
    with pytest.raises(ConfigError, match=rf"expected a label of your choice for every path: {field}\.LABEL=PATH"):
        Settings.from_values({field: value})


@pytest.mark.parametrize("name", ["page", "page.htm", "pool/manifest.json", "page.html/x"])
def test_only_a_file_with_the_suffix_is_written_over(name: str):
    with pytest.raises(ConfigError, match=r"expected a file that ends in \.html"):
        Settings.from_values({"page": name})
    assert Settings.from_values({"page": f"{name}.html"}).page == Path(f"{name}.html")


def test_scores_open_in_the_order_of_their_labels(make_pool, plain_pairs, tmp_path: Path):
    pool = make_pool([plain_pairs(1)]).path
    run.score(ScoreConfig(pool=pool, output=tmp_path / "scores"))
    opened = open_scores({"z": [tmp_path / "scores"], "a": [tmp_path / "scores"] * 2})
    assert [(label, len(datasets)) for label, datasets in opened.items()] == [("a", 2), ("z", 1)]
    with pytest.raises(ManifestError):
        open_scores({"a": [pool]})
