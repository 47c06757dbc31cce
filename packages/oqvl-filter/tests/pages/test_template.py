from __future__ import annotations

import pytest
from jinja2 import UndefinedError

from oqvl_filter.pages.gallery import Picture
from oqvl_filter.pages.template import render

PICTURE = Picture(
    pool="pool", shard="0.tar", key="k", caption="<script>alert('x')</script> & more", source="", problem=""
)


def test_foreign_text_is_escaped():
    text = render("calibration.html.j2", title="<b>title</b>", pictures=[PICTURE]).decode()
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; more" in text
    assert "<b>title" not in text


def test_a_value_that_is_not_given_is_an_error():
    with pytest.raises(UndefinedError):
        render("calibration.html.j2", title="title")


@pytest.mark.parametrize("name", ["calibration.html.j2", "page.html.j2"])
def test_a_page_loads_nothing(name: str):
    from importlib.resources import files

    source = files("oqvl_filter.pages").joinpath("templates", name).read_text(encoding="utf-8")
    assert 'http-equiv="Content-Security-Policy"' in source
    assert "default-src 'none'" in source
    for address in ('src="http', 'href="http', "@import", "url(http"):
        assert address not in source
