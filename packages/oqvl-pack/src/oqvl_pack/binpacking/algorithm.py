"""The choices that packing offers, by name."""

from __future__ import annotations

from typing import Literal

Algorithm = Literal["best", "bfd", "exact_fill", "ffd", "next_fit"]
"""How to pack; see `oqvl_pack.pack`."""

Overlong = Literal["error", "drop", "split"]
"""What to do with an item that does not fit into a bin."""
