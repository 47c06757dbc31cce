"""Tables of measured figures say what the benchmarks' files say."""

from __future__ import annotations

from pathlib import Path

import pytest

import figures


def test_every_table_is_what_the_files_say() -> None:
    assert figures.main(["--check"]) == 0


def test_every_table_stands_on_a_page() -> None:
    text = "".join((figures.ROOT / page).read_text() for page in figures.PAGES)
    assert sorted(match["name"] for match in figures.MARKED.finditer(text)) == sorted(figures.TABLES)


def test_a_stale_table_is_found_and_rewritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "README.md"
    page.write_text("before\n<!-- figures: one -->\n| old |\n<!-- end of figures -->\nafter\n")
    monkeypatch.setattr(figures, "ROOT", tmp_path)
    monkeypatch.setattr(figures, "PAGES", ("README.md",))
    monkeypatch.setattr(figures, "TABLES", {"one": lambda: "| new |"})
    assert figures.main(["--check"]) == 1
    assert figures.main([]) == 0
    assert page.read_text() == "before\n<!-- figures: one -->\n| new |\n<!-- end of figures -->\nafter\n"
    assert figures.main(["--check"]) == 0


@pytest.mark.parametrize(("num_bytes", "text"), [(21_813_613, "21.8 MB"), (5_804_189_463, "5.8 GB")])
def test_bytes_are_decimal(num_bytes: int, text: str) -> None:
    assert figures.megabytes(num_bytes) == text


@pytest.mark.parametrize(("seconds", "text"), [(0.0143, "0.0143"), (6.9212, "6.92"), (112.9, "113")])
def test_seconds_have_three_digits(seconds: float, text: str) -> None:
    assert figures.figure(seconds) == text
