"""The documentation site: pages keep their places, links work, and nothing is loaded from elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

import doc_site

ROOT = Path(__file__).resolve().parents[2]


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_links_in_code_are_no_links():
    page = "[a](a.md#part) [b](https://example.com) `[c](c.md)` [d](#here)\n\n```\n[e](e.md)\n```\n\n![f](f.svg)\n"
    assert doc_site.link_targets(page) == {"a.md", "f.svg"}


def test_pages_keep_their_places_and_bring_what_they_link_to(tmp_path):
    root, pages = tmp_path / "repository", tmp_path / "pages"
    write(root / "README.md", "[guide](docs/guide.md) [data](data.json) [recipes](recipes/small)")
    write(root / "docs" / "guide.md", "[code](../packages/p/code.py)")
    write(root / "data.json", "{}")
    write(root / "packages" / "p" / "code.py", "")
    write(root / "recipes" / "small" / "run.toml", "")
    write(root / "unlinked.txt", "")
    doc_site.gather(root, pages)
    assert sorted(str(path.relative_to(pages)) for path in pages.rglob("*") if path.is_file()) == [
        "README.md",
        "data.json",
        "docs/guide.md",
        "packages/p/code.py",
        "recipes/small/README.md",
        "recipes/small/run.toml",
    ]
    assert (pages / "recipes" / "small" / "README.md").read_text() == "# recipes/small\n\n- [run.toml](run.toml)\n"


def test_every_package_has_a_reference_page(tmp_path):
    doc_site.write_api_pages(ROOT, tmp_path)
    pages = {path.stem: path.read_text() for path in (tmp_path / "api").glob("*.md")}
    assert sorted(pages) == ["oqvl_eval", "oqvl_filter", "oqvl_model", "oqvl_pack", "oqvl_shards", "oqvl_train"]
    assert "\n::: oqvl_pack.pack\n" in pages["oqvl_pack"]
    assert "| `oqvl_train.trainee` | " in pages["oqvl_train"]


def test_every_page_is_in_the_navigation():
    assert list(doc_site.check_navigation(ROOT)) == []


def test_a_page_outside_the_navigation_is_named(tmp_path):
    write(tmp_path / "docs" / "secret.md", "")
    assert list(doc_site.check_navigation(tmp_path)) == ["docs/secret.md: not in the navigation of mkdocs.yml"]


@pytest.mark.parametrize(
    ("html", "problem"),
    [
        ('<script src="https://elsewhere/x.js"></script>', "loads https://elsewhere/x.js"),
        ('<link rel="stylesheet" href="//elsewhere/x.css">', "loads //elsewhere/x.css"),
        ('<link rel="preload icon" href="http://elsewhere/x">', "loads http://elsewhere/x"),
        ('<img src="https://elsewhere/x.png">', "loads https://elsewhere/x.png"),
        ('<a href="nowhere.html">x</a>', "nowhere.html leads nowhere"),
        ('<img src="nowhere.svg">', "nowhere.svg leads nowhere"),
        ('<a href="other.html#gone">x</a>', "other.html#gone names an anchor that is not there"),
        ('<a href="#gone">x</a>', "#gone names an anchor that is not there"),
    ],
)
def test_what_is_wrong_with_a_built_page_is_named(tmp_path, html, problem):
    write(tmp_path / "page.html", html)
    write(tmp_path / "other.html", '<h1 id="here">x</h1>')
    assert list(doc_site.check_html(tmp_path)) == [f"page.html: {problem}"]


def test_links_that_work_are_left_alone(tmp_path):
    good = (
        '<a href="https://elsewhere/">x</a><a href="other.html#here">x</a><a href="sub/">x</a><a id="a" href="#a">x</a>'
    )
    write(tmp_path / "page.html", f'{good}<link rel="canonical" href="https://elsewhere/"><a href="mailto:x@y">x</a>')
    write(tmp_path / "other.html", '<h1 id="here">x</h1>')
    write(tmp_path / "sub" / "index.html", '<a href="../page.html">x</a>')
    assert list(doc_site.check_html(tmp_path)) == []


@pytest.mark.parametrize(
    "css",
    ["@import 'https://elsewhere/x.css';", "a { background: url(https://elsewhere/x.png) }", 'a{src:url("//e/f")}'],
)
def test_a_style_sheet_that_loads_from_elsewhere_is_named(tmp_path, css):
    write(tmp_path / "x.css", css)
    assert len(list(doc_site.check_html(tmp_path))) == 1


def test_a_style_sheet_may_load_what_is_beside_it(tmp_path):
    write(tmp_path / "x.css", "a { background: url(data:image/svg+xml;charset=utf-8,//x) } b { src: url(../f.woff2) }")
    assert list(doc_site.check_html(tmp_path)) == []
