"""When the compiled kernels run, and that a broken numba never stops a run."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from oqvl_pack.binpacking import compiled, kernels
from oqvl_pack.binpacking.compiled import MIN_COMPILED_ITEMS, compiled_kernels


@pytest.fixture(autouse=True)
def fresh_import() -> Iterator[None]:
    """Forget what an earlier test found out about numba, and what this one does."""
    compiled._import_kernels.cache_clear()
    yield
    compiled._import_kernels.cache_clear()


def test_many_items_repay_the_import() -> None:
    assert compiled_kernels(MIN_COMPILED_ITEMS) is kernels
    assert compiled_kernels(MIN_COMPILED_ITEMS - 1) is None
    assert compiled_kernels(0) is None


def test_few_items_do_not_even_try(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise AssertionError("numba was imported")

    monkeypatch.setattr(compiled, "_import_kernels", fail)
    assert compiled_kernels(MIN_COMPILED_ITEMS - 1) is None


@pytest.mark.parametrize("error", [ImportError("no numba"), SystemError("bad binary"), OSError("no library")])
def test_any_failure_means_numpy(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def find_spec(self, name: str, path: object = None, target: object = None) -> None:
            if name == "oqvl_pack.binpacking.kernels":
                raise error

    monkeypatch.delitem(sys.modules, "oqvl_pack.binpacking.kernels")
    monkeypatch.delattr("oqvl_pack.binpacking.kernels")
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    assert compiled_kernels(MIN_COMPILED_ITEMS) is None


def test_the_import_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert compiled_kernels(MIN_COMPILED_ITEMS) is kernels
    monkeypatch.setattr(sys, "meta_path", [])
    monkeypatch.delitem(sys.modules, "oqvl_pack.binpacking.kernels")
    assert compiled_kernels(MIN_COMPILED_ITEMS) is kernels
