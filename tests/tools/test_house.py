"""The rules of layout: each holds for a small well-kept package, and says what is wrong with one that is not."""

from __future__ import annotations

from pathlib import Path

import pytest

import house

FUNCTION = "def fill(bins: list[int]) -> int:\n    return sum(bins)\n"


def write(path: Path, text: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def member(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace member `oqvl-box` with every room and one tested module."""
    monkeypatch.setattr(house, "ROOT", tmp_path)
    member = tmp_path / "packages" / "oqvl-box"
    for name in house.MEMBER_FILES:
        write(member / name)
    package = member / "src" / "oqvl_box"
    for name in (*house.FRONT_ROOMS, "py.typed"):
        write(package / name)
    write(package / "__init__.py", '__all__ = ["fill"]\n')
    write(package / "filling.py", FUNCTION)
    write(member / "tests" / "test_filling.py", "from oqvl_box.filling import fill\n")
    return member


def test_a_well_kept_package_breaks_no_rule(member):
    assert list(house.problems()) == []


def test_a_missing_room_is_named(member):
    (member / "src" / "oqvl_box" / "run.py").unlink()
    assert list(house.problems()) == ["packages/oqvl-box/src/oqvl_box/run.py: missing"]


@pytest.mark.parametrize(
    "statement",
    [
        "import oqvl_box.filling",
        "from oqvl_box import filling",
        "from oqvl_box.filling import fill as other",
        "def test():\n    from oqvl_box.filling import fill",
    ],
)
def test_a_test_that_imports_its_module_exercises_it(member, statement):
    write(member / "tests" / "test_filling.py", statement)
    assert list(house.check_tests_mirror(member)) == []


@pytest.mark.parametrize("guard", ["", "if TYPE_CHECKING:\n    "])
def test_a_name_that_the_package_passes_on_counts(member, guard):
    package = member / "src" / "oqvl_box"
    write(package / "__init__.py", f"{guard}from oqvl_box.filling import fill\n")
    write(member / "tests" / "test_filling.py", "from oqvl_box import fill\n")
    assert list(house.check_tests_mirror(member)) == []


@pytest.mark.parametrize("statement", ["", "import oqvl_box", "from oqvl_box import other", "import filling"])
def test_a_test_that_never_touches_its_module_is_named(member, statement):
    write(member / "src" / "oqvl_box" / "__init__.py", "from oqvl_box.filling import fill\n")
    write(member / "tests" / "test_filling.py", statement)
    wanted = "packages/oqvl-box/tests/test_filling.py: imports nothing from oqvl_box.filling"
    assert list(house.check_tests_mirror(member)) == [wanted]


def test_one_of_several_test_files_is_enough(member):
    write(member / "tests" / "test_filling.py", "import json\n")
    write(member / "tests" / "test_filling_bounds.py", "from oqvl_box import filling\n")
    assert list(house.check_tests_mirror(member)) == []


def test_a_module_without_a_test_is_named(member):
    write(member / "src" / "oqvl_box" / "sizes" / "__init__.py")
    write(member / "src" / "oqvl_box" / "sizes" / "volume.py", FUNCTION)
    write(member / "src" / "oqvl_box" / "sizes" / "units.py", "LITRE = 1\n")
    wanted = "packages/oqvl-box/tests/sizes/test_volume.py: missing; it would test oqvl_box.sizes.volume"
    assert list(house.check_tests_mirror(member)) == [wanted]


def test_a_directory_has_at_most_thirty_modules(member):
    package = member / "src" / "oqvl_box"
    present = len(list(package.glob("*.py"))) - 1
    for number in range(house.MAX_MODULES - present):
        write(package / f"shape_{number}.py")
    assert list(house.check_module_counts(member)) == []
    write(package / "shape_more.py")
    assert list(house.check_module_counts(member)) == [
        "packages/oqvl-box/src/oqvl_box: 31 modules, expected at most 30; cut it into wings"
    ]


def test_a_package_with_many_rooms_is_named_without_failing(member):
    package = member / "src" / "oqvl_box"
    for number in range(house.MANY_ROOMS):
        write(package / f"wing_{number}" / "__init__.py")
    assert list(house.crowded_packages()) == ["packages/oqvl-box/src/oqvl_box: 20 rooms behind the front door"]
    assert list(house.problems()) == []


def test_a_long_function_and_a_name_that_says_nothing_are_named(member):
    body = "    x = 1\n" * (house.MAX_FUNCTION_LINES + 1)
    write(member / "src" / "oqvl_box" / "filling.py", f'def fill(a,\n         b):\n    """Fill."""\n{body}')
    write(member / "tests" / "helpers.py")
    assert list(house.problems()) == [
        "packages/oqvl-box/tests/helpers.py: the name says nothing about the content",
        "packages/oqvl-box/src/oqvl_box/filling.py:1 fill: 51 lines, expected at most 50",
    ]
