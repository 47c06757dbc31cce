import json
import tarfile
from enum import StrEnum
from itertools import groupby

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oqvl_shards.errors import DataError
from oqvl_shards.tar.index import TarDamage, scan_tar
from oqvl_shards.tar.reader import ShardReader, parse_json
from oqvl_shards.tar.sample import MEMBER_TYPES, PACK_MEMBER_TYPES, ReadLimits, RejectReason, SampleError, split_name
from oqvl_shards.tar.writer import TarWriter

shared_tmp_path = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def outcome(path, **options):
    """Keys of the samples, and the reason of every reject."""
    with ShardReader(path, **options) as reader:
        return [sample.key for sample in reader.samples], {reject.key: reject.reason for reject in reader.rejects}


def good(key: str) -> list[tuple[str, bytes]]:
    return [(f"{key}.jpg", b"image"), (f"{key}.txt", b"caption")]


def reason_of(call) -> StrEnum:
    with pytest.raises(SampleError) as caught:
        call()
    return caught.value.reason


@pytest.fixture
def only_sample(tmp_path):
    """Write one sample and open it; returns its reader and the sample."""
    readers = []

    def make(limits: ReadLimits | None = None, **parts: bytes):
        with TarWriter(tmp_path / "s.tar") as writer:
            for suffix, data in parts.items():
                writer.add(f"k.{suffix.replace('__', '.')}", data)
        readers.append(ShardReader(tmp_path / "s.tar", limits))
        return readers[-1], readers[-1].samples[0]

    yield make
    for reader in readers:
        reader.close()


def test_samples_come_in_order_with_their_members(foreign_tar):
    path = foreign_tar([*good("b"), ("a/1.JPG", b"1"), ("a/1.001.png", b"2"), ("a/1.json", b"{}")])
    with ShardReader(path, name="part/0.tar") as reader:
        assert [(s.key, s.shard, [m.name for m in s.members]) for s in reader.samples] == [
            ("b", "part/0.tar", ["b.jpg", "b.txt"]),
            ("a/1", "part/0.tar", ["a/1.JPG", "a/1.001.png", "a/1.json"]),
        ]
        assert reader.images(reader.samples[1]) == [("jpg", b"1"), ("png", b"2")]
        assert reader.rejects == ()
        assert reader.read(reader.samples[0].members[1]) == b"caption"
    assert ShardReader(path).samples[0].shard == "foreign.tar"


def test_dangerous_members_stay_closed(foreign_tar):
    path = foreign_tar([*good("a"), ("a.pkl", b"x"), ("a.pyd", b"x"), ("a.jpg.gz", b"x"), ("b.pkl", b"x"), *good("c")])
    with ShardReader(path) as reader:
        assert [m.name for m in reader.samples[0].members] == ["a.jpg", "a.txt"]
    assert outcome(path) == (["a", "c"], {"b": RejectReason.NO_MEMBER})


def test_packed_shards_are_read_with_their_own_types(foreign_tar):
    path = foreign_tar([("0.safetensors", b"x"), ("0.000.jpg", b"x"), ("1.safetensors", b"x")])
    assert outcome(path, member_types=PACK_MEMBER_TYPES) == (["0", "1"], {})
    assert outcome(path) == (["0"], {"1": RejectReason.NO_MEMBER})


def test_links_and_files_without_a_key_make_no_sample(foreign_tar):
    link = tarfile.TarInfo("b.jpg")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    path = foreign_tar([("README", b"x"), *good("a"), (link, b""), ("._a.jpg", b"x"), *good("c")])
    assert outcome(path) == (["a", "c"], {})


@pytest.mark.parametrize("key", ["../b", "/b", "x/../b", "b\\c", "b\nc"])
def test_unsafe_keys_are_rejected(foreign_tar, key):
    assert outcome(foreign_tar([*good("a"), *good(key), *good("c")])) == (["a", "c"], {key: RejectReason.UNSAFE_NAME})


def test_a_key_that_is_not_unicode_is_rejected_under_a_printable_name(foreign_tar):
    path = foreign_tar([*good("a"), ("b\udcff.jpg", b"x")])
    assert outcome(path) == (["a"], {"b\\udcff": RejectReason.UNSAFE_NAME})


def test_a_key_that_comes_back_is_rejected_once(foreign_tar):
    interleaved = foreign_tar([("a.jpg", b"1"), ("b.jpg", b"2"), ("a.txt", b"1"), ("b.txt", b"2"), *good("c")])
    assert outcome(interleaved) == (["c"], {"a": RejectReason.DUPLICATE_KEY, "b": RejectReason.DUPLICATE_KEY})


def test_a_member_that_comes_twice_rejects_its_sample(foreign_tar):
    path = foreign_tar([("a.jpg", b"1"), ("a.JPG", b"2"), *good("b"), *good("c"), ("c.txt", b"again")])
    assert outcome(path) == (["b"], {"a": RejectReason.DUPLICATE_KEY, "c": RejectReason.DUPLICATE_KEY})


def test_a_member_above_the_cap_rejects_its_sample(foreign_tar):
    path = foreign_tar([*good("a"), ("b.jpg", bytes(101)), *good("c")])
    assert outcome(path, limits=ReadLimits(max_member_bytes=100)) == (["a", "c"], {"b": RejectReason.MEMBER_TOO_LARGE})


def test_a_bad_checksum_ends_the_shard_and_rejects_what_may_have_gone_on(foreign_tar):
    path = foreign_tar([*good("a"), *good("b"), *good("c")])
    data = bytearray(path.read_bytes())
    data[2 * 2048] ^= 1  # the header of c.jpg
    path.write_bytes(data)
    assert outcome(path) == (["a"], {"b": RejectReason.BAD_HEADER})
    with ShardReader(path) as reader:
        assert reader.index.damage is TarDamage.BAD_HEADER
        assert reader.rejects[0].detail == "bad_header at byte 4096"


@shared_tmp_path
@given(blocks=st.integers(0, 15), inside=st.sampled_from([0, 0, 1, 511]))
def test_a_cut_rejects_one_sample_and_leaves_the_others(foreign_tar, blocks, inside):
    path = foreign_tar([*good("a"), *good("b"), *good("c")])
    length = blocks * 512 + inside
    path.write_bytes(path.read_bytes()[:length])

    samples, rejects = outcome(path)
    # A sample has four blocks; it is seen with its first header, and known to be whole with the next one's.
    seen = list("abc")[: (length // 512 + 3) // 4]
    if length >= 13 * 512:
        assert (samples, rejects) == (seen, {})
    elif seen:
        assert (samples, rejects) == (seen[:-1], {seen[-1]: RejectReason.TRUNCATED_SHARD})
    else:
        assert (samples, rejects) == ([], {})


def test_a_cut_member_without_a_key_leaves_the_last_sample_in_doubt(foreign_tar):
    path = foreign_tar([*good("a"), *good("b"), ("README", b"x")])
    path.write_bytes(path.read_bytes()[: 2 * 2048 + 512])
    assert outcome(path) == (["a"], {"b": RejectReason.TRUNCATED_SHARD})


keys = st.sampled_from(["a", "b", "c", "../d", "e/f"])
suffixes = st.sampled_from(["jpg", "JPG", "txt", "json", "001.png", "pkl"])


@shared_tmp_path
@given(st.lists(st.tuples(keys, suffixes), max_size=12), st.integers(0, 30))
def test_every_key_is_a_sample_or_a_reject(foreign_tar, members, cut):
    path = foreign_tar([(f"{key}.{suffix}", b"x") for key, suffix in members])
    path.write_bytes(path.read_bytes()[: cut * 512])
    index = scan_tar(path)
    seen = {
        split_name(name)[0] for name in [m.name for m in index.members] + ([index.cut_name] if index.cut_name else [])
    }
    with ShardReader(path) as reader:
        accounted = [sample.key for sample in reader.samples] + [reject.key for reject in reader.rejects]
    assert sorted(accounted) == sorted(seen)


@shared_tmp_path
@given(
    st.lists(
        st.sampled_from(
            ["a.jpg", "a.JPG", "a.b.jpg", "a.b/c.jpg", "a", "a.", ".a", "b.txt", "b.pkl", "b/a.jpg", "/c.jpg"]
        ),
        max_size=10,
    )
)
def test_samples_are_what_a_slow_grouping_finds(foreign_tar, names):
    keys = [split_name(name)[0] for name in names]
    runs = [key for key, _ in groupby(key for key in keys if key)]
    samples, rejects = {}, {}
    for key in dict.fromkeys(runs):
        suffixes = [split_name(name)[1] for name, other in zip(names, keys, strict=True) if other == key]
        read = tuple(suffix for suffix in suffixes if suffix.rpartition(".")[2] in MEMBER_TYPES)
        if key.startswith("/"):
            rejects[key] = RejectReason.UNSAFE_NAME
        elif runs.count(key) > 1 or len(set(suffixes)) < len(suffixes):
            rejects[key] = RejectReason.DUPLICATE_KEY
        elif not read:
            rejects[key] = RejectReason.NO_MEMBER
        else:
            samples[key] = read
    with ShardReader(foreign_tar([(name, b"x") for name in names])) as reader:
        assert {sample.key: sample.suffixes for sample in reader.samples} == samples
        assert [sample.key for sample in reader.samples] == list(samples)
        assert {reject.key: reject.reason for reject in reader.rejects} == rejects
        for sample in reader.samples:
            assert [split_name(member.name) for member in sample.members] == [(sample.key, s) for s in sample.suffixes]


def test_text_comes_from_txt_or_the_caption(only_sample):
    assert ShardReader.text(*only_sample(txt=b"\xef\xbb\xbf a dog\n", json=b'{"caption": "a cat"}')) == "a dog"
    assert ShardReader.text(*only_sample(json='{"caption": " ein Käse "}'.encode())) == "ein Käse"


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ({"jpg": b"x"}, RejectReason.NO_TEXT),
        ({"json": b'{"caption": null}'}, RejectReason.NO_TEXT),
        ({"json": b'{"caption": ["a"]}'}, RejectReason.NO_TEXT),
        ({"json": b"{}"}, RejectReason.NO_TEXT),
        ({"001__txt": b"not the caption"}, RejectReason.NO_TEXT),
        ({"txt": b" \n\t"}, RejectReason.EMPTY_TEXT),
        ({"json": b'{"caption": ""}'}, RejectReason.EMPTY_TEXT),
        ({"txt": b"\xff\xfe"}, RejectReason.TEXT_NOT_UTF8),
        ({"json": b'{"caption": "\\ud800"}'}, RejectReason.TEXT_NOT_UTF8),
        ({"json": b"[1]"}, RejectReason.NOT_JSON),
    ],
)
def test_text_that_is_none(only_sample, parts, reason):
    reader, sample = only_sample(**parts)
    assert reason_of(lambda: reader.text(sample)) is reason


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"{", RejectReason.NOT_JSON),
        (b"", RejectReason.NOT_JSON),
        (b"null", RejectReason.NOT_JSON),
        (b'{"a": NaN}', RejectReason.NOT_JSON),
        (b'{"a": -Infinity}', RejectReason.NOT_JSON),
        (b'{"a": ' + b"9" * 5000 + b"}", RejectReason.NOT_JSON),
        (b'{"a": 1}garbage', RejectReason.NOT_JSON),
        (b'{"a": "\xff"}', RejectReason.TEXT_NOT_UTF8),
        (b'{"\\udfff": 1}', RejectReason.TEXT_NOT_UTF8),
        (b'{"a":' * 40 + b"1" + b"}" * 40, RejectReason.JSON_TOO_DEEP),
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", RejectReason.JSON_TOO_DEEP),
        (b"[" * 1_000_000, RejectReason.JSON_TOO_DEEP),
        (b'{"a": "' + bytes(5 << 20) + b'"}', RejectReason.JSON_TOO_LARGE),
    ],
    ids=lambda value: repr(value[:20]) if isinstance(value, bytes) else value,
)
def test_json_that_is_none(only_sample, data, reason):
    reader, sample = only_sample(json=data)
    assert reason_of(lambda: reader.json(sample)) is reason


def test_json_is_read(only_sample):
    reader, sample = only_sample(json=b'\xef\xbb\xbf{"a": [{"b": "\\ud83d\\ude00"}]}')
    assert reader.json(sample) == {"a": [{"b": "\U0001f600"}]}
    reader, sample = only_sample(txt=b"x")
    assert reason_of(lambda: reader.json(sample)) is RejectReason.NO_JSON


@given(
    st.recursive(st.text(max_size=5) | st.integers(), lambda x: st.lists(x, max_size=2) | st.dictionaries(st.text(), x))
)
def test_depth_is_counted_as_people_do(value):
    def depth(value):
        children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
        return 0 if children is None else 1 + max(map(depth, children), default=0)

    document = {"value": value}
    limits = ReadLimits(max_json_depth=depth(document))
    data = json.dumps(document).encode()
    assert parse_json(data, limits) == document
    if limits.max_json_depth > 1:
        shallow = ReadLimits(max_json_depth=limits.max_json_depth - 1)
        assert reason_of(lambda: parse_json(data, shallow)) is RejectReason.JSON_TOO_DEEP


def test_one_image_is_expected_of_a_pair(only_sample):
    assert ShardReader.image(*only_sample(png=b"x", txt=b"y")) == ("png", b"x")
    assert reason_of(lambda: ShardReader.image(*only_sample(txt=b"y"))) is RejectReason.NO_IMAGE
    assert reason_of(lambda: ShardReader.image(*only_sample(png=b"x", jpg=b"y"))) is RejectReason.MANY_IMAGES


def test_a_file_that_shrinks_while_it_is_read_is_an_error(foreign_tar):
    path = foreign_tar(good("a"))
    with ShardReader(path) as reader:
        path.write_bytes(b"")
        with pytest.raises(DataError, match="became shorter"):
            reader.read(reader.samples[0].members[0])


def test_a_missing_shard_is_named(tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.tar"):
        ShardReader(tmp_path / "nowhere.tar")
