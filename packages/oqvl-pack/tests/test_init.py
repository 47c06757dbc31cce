"""The public surface."""

from __future__ import annotations

import subprocess
import sys

import pytest

import oqvl_pack


def test_other_names_are_no_attributes() -> None:
    with pytest.raises(AttributeError, match="unpack"):
        oqvl_pack.unpack  # noqa: B018


def test_the_library_alone_is_light() -> None:
    script = "import sys, oqvl_pack; print([m for m in ('numba', 'tokenizers', 'PIL', 'typer') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
