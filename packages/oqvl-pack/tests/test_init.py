"""The public surface."""

from __future__ import annotations

import subprocess
import sys

import pytest

import oqvl_pack


def test_exported_names() -> None:
    assert oqvl_pack.__all__ == sorted(oqvl_pack.__all__)
    assert all(hasattr(oqvl_pack, name) for name in oqvl_pack.__all__)
    with pytest.raises(AttributeError, match="unpack"):
        oqvl_pack.unpack  # noqa: B018


def test_the_library_alone_is_light() -> None:
    script = "import sys, oqvl_pack; print([m for m in ('numba', 'tokenizers', 'PIL', 'typer') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
