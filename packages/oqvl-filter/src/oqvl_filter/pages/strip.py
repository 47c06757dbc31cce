"""The pictures of a page: tiles in titled strips, and strips in panels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Tile:
    """A picture on the page.

    Args:
        place: The row of a sample, or `LABEL/NAME` of a picture of a benchmark.
        note: Text below the picture.
        mark: A word that distinguishes it from its neighbours; empty: none.
    """

    place: int | str
    note: str = ""
    mark: str = ""


@dataclass(frozen=True)
class Strip:
    """Pictures that belong together."""

    title: str
    tiles: Sequence[Tile]


@dataclass(frozen=True)
class Panel:
    """Strips about one subject: a column, or a result of `dedup`.

    Args:
        name: The column, or the label of the scores.
        text: What the pictures show.
        strips: The pictures.
    """

    name: str
    text: str
    strips: Sequence[Strip]
