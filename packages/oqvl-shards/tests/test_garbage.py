import gc

import pytest

from oqvl_shards.garbage import collector_paused


@pytest.mark.parametrize("is_enabled", [True, False])
def test_the_collector_is_afterwards_what_it_was(is_enabled):
    try:
        (gc.enable if is_enabled else gc.disable)()
        with pytest.raises(ValueError, match="inside"), collector_paused():
            assert not gc.isenabled()
            raise ValueError("inside")
        assert gc.isenabled() is is_enabled
    finally:
        gc.enable()
