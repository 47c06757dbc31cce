from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oqvl_filter.subset import open_subset, write_subset, write_subset_blocks
from oqvl_shards.errors import ConfigError, DataError
from oqvl_shards.uid import UID_DTYPE, uids_to_array


@given(cut=st.integers(0, 5), count=st.integers(0, 5))
def test_a_subset_written_in_blocks_is_what_numpy_writes(
    tmp_path_factory: pytest.TempPathFactory, cut: int, count: int
):
    directory = tmp_path_factory.mktemp("subset")
    uids = np.array([(n, 7) for n in range(count)], dtype=UID_DTYPE)
    assert write_subset_blocks([uids[:cut], uids[cut:]], directory / "blocks.npy") == count
    np.save(directory / "numpy.npy", uids)
    write_subset(uids, directory / "whole.npy")
    files = {(directory / f"{name}.npy").read_bytes() for name in ("blocks", "numpy", "whole")}
    assert len(files) == 1


def test_a_bare_file_is_named_by_its_content_and_read_in_any_order(tmp_path: Path, uid_of):
    uids = uids_to_array([uid_of(3), uid_of(4)])
    np.save(tmp_path / "list.npy", np.concatenate([uids[::-1], uids]))
    subset = open_subset(tmp_path / "list.npy")
    assert subset.digest == hashlib.sha256((tmp_path / "list.npy").read_bytes()).hexdigest()
    assert np.array_equal(subset.uids, uids)
    assert subset.manifest is None


def test_a_list_in_text_is_told_how_to_import_it(tmp_path: Path, uid_of):
    (tmp_path / "list.txt").write_text(uid_of(1))
    with pytest.raises(ConfigError, match="is not a subset") as error:
        open_subset(tmp_path / "list.txt")
    assert f"import uids source={tmp_path / 'list.txt'}" in error.value.hint


def test_a_pickle_in_a_subset_file_stays_closed(tmp_path: Path):
    np.save(tmp_path / "evil.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="not a readable"):
        open_subset(tmp_path / "evil.npy")
    with pytest.raises(ConfigError, match="no subset file"):
        open_subset(tmp_path / "absent.npy")
