from hypothesis import given
from hypothesis import strategies as st

from oqvl_shards.natural_order import natural_key


def test_natural_order_counts() -> None:
    names = ["shard-10.tar", "shard-2.tar", "shard-02.tar", "a/1.tar", "shard.tar"]
    assert sorted(names, key=natural_key) == ["a/1.tar", "shard-2.tar", "shard-02.tar", "shard-10.tar", "shard.tar"]


@given(st.lists(st.integers(0, 10**6), unique=True))
def test_numbers_without_padding_come_in_their_order(numbers: list[int]) -> None:
    names = [f"shard-{number}.tar" for number in numbers]
    assert sorted(names, key=natural_key) == [f"shard-{number}.tar" for number in sorted(numbers)]


@given(st.lists(st.text("ab019/.-", max_size=8)))
def test_any_names_can_be_sorted(names: list[str]) -> None:
    ordered = sorted(names, key=natural_key)
    assert sorted(ordered, key=natural_key) == ordered
    assert sorted(ordered) == sorted(names)
