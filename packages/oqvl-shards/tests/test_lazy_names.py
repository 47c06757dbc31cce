import importlib
import json
import sys
from pathlib import Path

import pytest

from oqvl_shards.lazy_names import lazy_names

SOURCE = """
from typing import TYPE_CHECKING
from oqvl_shards.lazy_names import lazy_names

if TYPE_CHECKING:
    from lazily.heavy import (
        Anvil,
        drop,
    )
    from lazily.light import Feather

__all__ = ["Anvil", "Feather", "drop"]
__getattr__ = lazy_names(__name__, __file__)
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = tmp_path / "lazily"
    folder.mkdir()
    (folder / "__init__.py").write_text(SOURCE, encoding="utf-8")
    (folder / "heavy.py").write_text("class Anvil: ...\ndef drop(): return 'dropped'\n", encoding="utf-8")
    (folder / "light.py").write_text("class Feather: ...\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("lazily", "lazily.heavy", "lazily.light"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return importlib.import_module("lazily")


def test_a_name_loads_its_module_and_no_other(package) -> None:
    assert package.Feather.__name__ == "Feather"
    assert "lazily.heavy" not in sys.modules
    assert package.drop() == "dropped"


def test_all_names_can_be_imported_at_once(package) -> None:
    names: dict[str, object] = {}
    exec("from lazily import *", names)
    assert {"Anvil", "Feather", "drop"} <= set(names)


def test_a_name_that_is_not_there_is_an_attribute_error(package) -> None:
    with pytest.raises(AttributeError, match=r"module 'lazily' has no attribute 'Lead'"):
        getattr(package, "Le" + "ad")
    assert not hasattr(package, "Lead")


def test_a_name_is_the_very_object_of_its_module(package) -> None:
    assert package.Anvil is importlib.import_module("lazily.heavy").Anvil
    assert package.Anvil is package.Anvil


def test_the_source_is_parsed_at_the_first_access_and_once(tmp_path: Path) -> None:
    file = tmp_path / "package.py"
    load = lazy_names("package", str(file))  # there is no such file yet
    file.write_text("if TYPE_CHECKING:\n    from json import dumps, loads\n", encoding="utf-8")
    assert load("dumps") is json.dumps
    file.unlink()
    assert load("loads") is json.loads


def test_only_imports_for_type_checkers_count(tmp_path: Path) -> None:
    file = tmp_path / "package.py"
    file.write_text(
        "from json import dumps\nif TYPE_CHECKING:\n    import os\n    x = 1\n    from json import loads\n"
        "if DEBUG:\n    from json import load\n",
        encoding="utf-8",
    )
    load = lazy_names("package", str(file))
    assert load("loads") is json.loads
    for name in ("dumps", "load", "os", "x"):
        with pytest.raises(AttributeError, match=f"has no attribute '{name}'"):
            load(name)


def test_what_a_module_raises_while_it_is_imported_is_not_hidden(tmp_path: Path) -> None:
    file = tmp_path / "package.py"
    file.write_text("if TYPE_CHECKING:\n    from no_such_dependency import Anvil\n", encoding="utf-8")
    with pytest.raises(ModuleNotFoundError, match="no_such_dependency"):
        lazy_names("package", str(file))("Anvil")
