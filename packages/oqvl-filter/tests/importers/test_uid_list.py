from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from oqvl_filter.importers.uid_list import read_uid_list
from oqvl_shards.errors import ConfigError, DataError
from oqvl_shards.uid import uids_to_array


def test_text_and_arrays_say_the_same(tmp_path: Path, uid_of):
    uids = [uid_of(3), uid_of(1), uid_of(3)]
    (tmp_path / "a.txt").write_text("\n".join(uids) + "\n")
    np.save(tmp_path / "a.npy", np.concatenate([uids_to_array([uid]) for uid in uids]))
    for name in ("a.txt", "a.npy"):
        found, num_in = read_uid_list(tmp_path / name)
        assert (found.tolist(), num_in) == (uids_to_array(uids).tolist(), 3)


def test_what_is_no_list_of_uids_is_refused(tmp_path: Path):
    np.save(tmp_path / "evil.npy", np.array([{}], dtype=object), allow_pickle=True)
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe")
    (tmp_path / "b.txt").write_text(f"{'0' * 32}\n\nnot a uid\n")
    for name in ("evil.npy", "a.txt", "b.txt"):
        with pytest.raises(DataError) as error:
            read_uid_list(tmp_path / name)
        assert "score" not in error.value.hint
    with pytest.raises(ConfigError, match="no file at"):
        read_uid_list(tmp_path / "absent.npy")
    with pytest.raises(DataError, match=r"b\.txt:3: found 'not a uid', expected a uid"):
        read_uid_list(tmp_path / "b.txt")
