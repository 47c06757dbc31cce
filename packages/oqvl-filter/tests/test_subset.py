from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from oqvl_filter.subset import open_subset, write_subset
from oqvl_shards.errors import ManifestError
from oqvl_shards.uid import uids_to_array


def test_a_bare_file_opens_with_its_own_digest(tmp_path: Path):
    uids = uids_to_array(["0" * 31 + "a", "0" * 31 + "b"])
    write_subset(uids, tmp_path / "a.npy")
    write_subset(uids[:1], tmp_path / "b.npy")
    subset = open_subset(tmp_path / "a.npy")
    assert np.array_equal(subset.uids, uids)
    assert subset.manifest is None
    assert subset.digest != open_subset(tmp_path / "b.npy").digest


def test_a_dataset_of_another_kind_is_refused(make_pool, plain_pairs):
    with pytest.raises(ManifestError, match="expected subset"):
        open_subset(make_pool([plain_pairs(1)]).path)
