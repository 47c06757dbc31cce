from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from oqvl_filter.stage_report import PoolReport, StageReport
from oqvl_shards.manifest import Account

reasons = st.dictionaries(st.sampled_from(["image_broken", "no_text", "x" * 30]), st.integers(1, 10**9), max_size=3)


def report(account: Account) -> StageReport:
    return StageReport(path=Path("out"), digest="0" * 64, name="thing", account=account)


@given(st.integers(0, 10**9), reasons)
def test_the_table_states_every_count_of_the_account_in_one_column(num_kept: int, rejected: dict[str, int]):
    account = Account(num_in=num_kept + sum(rejected.values()), num_kept=num_kept, rejected=rejected)
    lines = report(account).table().splitlines()[2:]
    counts = [int(line.split()[-2].replace(",", "")) for line in lines]
    assert counts == [account.num_in, num_kept, *rejected.values()]
    assert all(line.endswith("%") for line in lines)


def test_an_empty_account_has_no_share():
    assert "0.0%" in report(Account(num_in=0, num_kept=0)).table()


def test_a_pool_is_described_from_its_manifest(make_pool, plain_pairs):
    pool = make_pool([plain_pairs(3), plain_pairs(2, start=3)], name="animals")
    described = PoolReport.of(pool)
    assert (described.name, described.num_shards, described.account.num_in) == ("animals", 2, 5)
    assert described.num_bytes == sum(path.stat().st_size for path in pool.path.glob("*.tar"))
    assert described.digest == pool.manifest.digest()
    assert f"  shards    2, {described.num_bytes:,} bytes" in described.table()
