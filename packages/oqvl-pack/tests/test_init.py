"""The public surface."""

from __future__ import annotations

import oqvl_pack


def test_exported_names() -> None:
    assert oqvl_pack.__all__ == sorted(oqvl_pack.__all__)
    assert all(hasattr(oqvl_pack, name) for name in oqvl_pack.__all__)
