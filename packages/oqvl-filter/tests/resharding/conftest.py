"""What the tests of this room share: samples whose members tell whose they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from oqvl_filter.resharding.sample_table import FoundSamples, SampleTable
from oqvl_shards.manifest import Account
from oqvl_shards.tar.index import Member
from oqvl_shards.uid import UID_DTYPE


@pytest.fixture(scope="session")
def found() -> Callable[..., FoundSamples]:
    """A function from numbers (and the index of a tar) to selected samples."""
    return _found


@pytest.fixture(scope="session")
def check_members() -> Callable[[SampleTable], None]:
    """A function that checks that every sample still has its own members, in its own tar."""
    return _check_members


def _found(numbers: list[int], index: int = 0) -> FoundSamples:
    """Selected samples with the given uids; number n has n % 3 + 1 members, which tell whose they are."""
    counts = [number % 3 + 1 for number in numbers]
    owners = np.repeat(np.array(numbers, dtype=np.int64), counts)
    table = SampleTable(
        paths=(Path(f"{index}.tar"),),
        uids=np.array([(0, number) for number in numbers], dtype=UID_DTYPE),
        keys=np.array([f"{index}/{row}" for row in range(len(numbers))], dtype=object),
        tars=np.zeros(len(numbers), dtype=np.int64),
        ends=np.cumsum(counts, dtype=np.int64),
        offsets=owners * 1000 + index,
        sizes=owners * 100,
        suffixes=np.array([f"{owner}.txt" for owner in owners], dtype=object),
    )
    return FoundSamples(table, Account(num_in=len(numbers), num_kept=len(numbers)))


def _check_members(table: SampleTable) -> None:
    """Every sample still has its own members, in its own tar."""
    keys = [f"new-{row}" for row in range(len(table))]
    expected = [
        (table.paths[tar], Member(f"{key}.{number}.txt", number * 1000 + int(table.paths[tar].stem), number * 100))
        for key, tar, (_, number) in zip(keys, table.tars.tolist(), table.uids.tolist(), strict=True)
        for _ in range(number % 3 + 1)
    ]
    assert [(path, member) for path, members in table.pieces(keys) for member in members] == expected
