import importlib
import sys
from pathlib import Path

import pytest

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
