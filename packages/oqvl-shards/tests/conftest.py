"""What several tests of the shard files share: small images, and tars that only a hostile writer makes."""

from __future__ import annotations

import importlib.util
import io
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from PIL import Image

TarMaker = Callable[..., Path]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs Ray where it is not installed."""
    if importlib.util.find_spec("ray") is None:
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("ray")])
        items[:] = [item for item in items if not item.get_closest_marker("ray")]


@pytest.fixture
def png() -> bytes:
    """A PNG of 6 x 4 red pixels."""
    buffer = io.BytesIO()
    Image.new("RGB", (6, 4), "red").save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def foreign_tar(tmp_path: Path) -> TarMaker:
    """Write a tar with the standard library, so that nothing our writer refuses is out of reach."""

    def make(
        entries: Iterable[tuple[str | tarfile.TarInfo, bytes]],
        name: str = "foreign.tar",
        tar_format: int = tarfile.GNU_FORMAT,
    ) -> Path:
        path = tmp_path / name
        with tarfile.open(path, "w", format=tar_format) as archive:
            for entry, data in entries:
                info = tarfile.TarInfo(entry) if isinstance(entry, str) else entry
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
        return path

    return make
