import io
import tarfile

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from oqvl_shards.errors import DataError
from oqvl_shards.tar import index as tar_index
from oqvl_shards.tar.index import MAX_EXTENDED_HEADER_BYTES, Member, TarDamage, is_safe_name, scan_tar, unsafe_names

names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=300).filter(
    lambda name: not name.endswith("/")
)
contents = st.binary(max_size=2000)
shared_tmp_path = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def header(name: bytes = b"a.txt", size: bytes = b"00000000005\0", kind: bytes = b"0", magic: bytes = b"ustar\x0000"):
    """A header block whose fields can be anything, with a right checksum."""
    head = name.ljust(100, b"\0") + b"0000644\0" + bytes(16) + size.ljust(12, b"\0") + b"00000000000\0"
    tail = (kind + bytes(100) + magic).ljust(512 - 156, b"\0")
    return head + b"%06o\0 " % (sum(head) + 8 * 32 + sum(tail)) + tail


def padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % 512)


END = bytes(1024)
HELLO = header() + padded(b"hello")


def scan_bytes(tmp_path, data: bytes):
    path = tmp_path / "scan.tar"
    path.write_bytes(data)
    return scan_tar(path)


@shared_tmp_path
@given(
    entries=st.lists(st.tuples(names, contents), max_size=6),
    tar_format=st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
)
@example(entries=[("é" * 60 + "/" + "x" * 200 + ".jpg", b"1"), ("b.txt", b"")], tar_format=tarfile.GNU_FORMAT)
@example(entries=[("é" * 60 + "/" + "x" * 200 + ".jpg", b"1"), ("b.txt", b"")], tar_format=tarfile.PAX_FORMAT)
def test_finds_what_tarfile_finds(foreign_tar, entries, tar_format):
    path = foreign_tar(entries, tar_format=tar_format)
    index = scan_tar(path)
    with tarfile.open(path) as archive:
        expected = [Member(info.name, info.offset_data, info.size) for info in archive if info.isreg()]
    assert list(index.members) == expected
    assert index.damage is None
    data = path.read_bytes()
    assert [data[m.offset : m.offset + m.size] for m in index.members] == [content for _, content in entries]


def test_reads_the_prefix_field_of_ustar(foreign_tar):
    name = "d" * 90 + "/" + "n" * 90 + ".jpg"
    assert [m.name for m in scan_tar(foreign_tar([(name, b"x")], tar_format=tarfile.USTAR_FORMAT)).members] == [name]


@pytest.mark.parametrize(
    "kind",
    [tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE],
)
def test_links_devices_and_directories_are_no_members(foreign_tar, kind):
    special = tarfile.TarInfo("b.txt")
    special.type, special.linkname = kind, "/etc/passwd"
    index = scan_tar(foreign_tar([("a.txt", b"hello"), (special, b""), ("c.txt", b"world")]))
    assert [m.name for m in index.members] == ["a.txt", "c.txt"]
    assert index.damage is None


def test_a_link_has_no_content_whatever_its_size_says(tmp_path):
    index = scan_bytes(tmp_path, header(b"link", kind=b"2") + HELLO + END)
    with tarfile.open(index.path) as archive:
        assert archive.getnames() == ["link", "a.txt"]
    assert ([m.name for m in index.members], index.damage) == (["a.txt"], None)


@shared_tmp_path
@given(
    sizes=st.lists(st.integers(0, 1500), min_size=1, max_size=4),
    cut=st.integers(0, 20),
    inside=st.sampled_from([0, 0, 0, 1, 511]),
)
def test_a_cut_anywhere_is_seen(tmp_path, sizes, cut, inside):
    parts = [header(b"%d.txt" % i, b"%011o\0" % size) + padded(b"x" * size) for i, size in enumerate(sizes)]
    whole = b"".join(parts) + END
    length = min(cut * 512 + inside, len(whole))
    index = scan_bytes(tmp_path, whole[:length])

    ends = [sum(map(len, parts[:i])) + 512 + size for i, size in enumerate(sizes)]
    assert [m.name for m in index.members] == [f"{i}.txt" for i, end in enumerate(ends) if end <= length]
    # One block of zeros ends an archive as well as two: nothing is lost by a cut between them.
    assert (index.damage is None) == (length >= len(whole) - 512)
    if index.damage is TarDamage.TRUNCATED_MEMBER:
        assert index.cut_name == f"{len(index.members)}.txt"


@shared_tmp_path
@given(position=st.integers(0, 511), bit=st.integers(0, 7))
def test_a_flipped_bit_in_a_header_is_seen(tmp_path, position, bit):
    damaged = bytearray(HELLO + header(b"b.txt") + padded(b"world") + END)
    damaged[len(HELLO) + position] ^= 1 << bit
    index = scan_bytes(tmp_path, bytes(damaged))
    if 148 <= position < 156:  # a change inside the checksum's own padding does no harm
        assert index.damage in (None, TarDamage.BAD_HEADER)
    else:
        assert (index.damage, index.end) == (TarDamage.BAD_HEADER, len(HELLO))
        assert [m.name for m in index.members] == ["a.txt"]


@pytest.mark.parametrize(
    "size",
    [
        b"-0000000005\0",
        b"+0000000005\0",
        b"0000000_005\0",
        b"0000000009\0",
        b"0x000000005\0",
        b"\xff" * 12,
        b"5\x005\0",
    ],
)
def test_a_size_that_is_no_octal_number_is_damage(tmp_path, size):
    index = scan_bytes(tmp_path, HELLO + header(size=size) + padded(b"world") + END)
    assert (index.damage, len(index.members)) == (TarDamage.BAD_HEADER, 1)


def test_old_spellings_of_numbers_are_read(tmp_path):
    old = header(size=b"          5 ") + padded(b"hello")
    gnu = header(size=b"\x80" + (5).to_bytes(11, "big")) + padded(b"hello")
    index = scan_bytes(tmp_path, old + gnu + END)
    assert ([m.size for m in index.members], index.damage) == ([5, 5], None)


def test_a_size_beyond_the_file_is_a_truncated_member(tmp_path):
    index = scan_bytes(tmp_path, header(size=b"\x80" + (1 << 70).to_bytes(11, "big")) + END)
    assert (index.damage, index.cut_name) == (TarDamage.TRUNCATED_MEMBER, "a.txt")


def test_pax_gives_path_and_size_of_the_next_member_only(tmp_path):
    records = b"18 path=long/name\n" + b"9 size=5\n"
    pax = header(b"PaxHeader", b"%011o\0" % len(records), b"x") + padded(records)
    index = scan_bytes(tmp_path, pax + header(b"short", b"0\0") + padded(b"hello") + HELLO + END)
    assert [(m.name, m.size) for m in index.members] == [("long/name", 5), ("a.txt", 5)]


@pytest.mark.parametrize(
    "records",
    [
        b"path=x\n",
        b"99 path=x\n",
        b"-1 path=x\n",
        b"0 path=x\n",
        b"9 path=xx",
        b"8 pathx\n",
        b"10 size=-5\n",
        b"10 size=1e\n",
    ],
)
def test_malformed_pax_records_are_damage(tmp_path, records):
    pax = header(b"PaxHeader", b"%011o\0" % len(records), b"x") + padded(records)
    assert scan_bytes(tmp_path, pax + HELLO + END).damage is TarDamage.BAD_HEADER


def test_a_global_pax_header_must_not_rename_everything(tmp_path):
    comment, path = b"12 comment=\n", b"9 path=x\n"
    for records, damage in [(comment, None), (path, TarDamage.BAD_HEADER)]:
        pax = header(b"PaxHeader", b"%011o\0" % len(records), b"g") + padded(records)
        assert scan_bytes(tmp_path, pax + HELLO + END).damage is damage


@pytest.mark.parametrize("kind", [b"x", b"g", b"L"])
def test_a_huge_extended_header_is_not_read(tmp_path, kind):
    size = MAX_EXTENDED_HEADER_BYTES + 1
    data = header(b"big", b"%011o\0" % size, kind) + padded(bytes(size)) + HELLO + END
    assert scan_bytes(tmp_path, data).damage is TarDamage.BAD_HEADER


def test_a_cut_extended_header_is_damage(tmp_path):
    index = scan_bytes(tmp_path, HELLO + header(b"long", b"%011o\0" % 600, b"L") + bytes(512))
    assert (index.damage, index.cut_name) == (TarDamage.TRUNCATED_MEMBER, None)


def test_gnu_sparse_files_are_refused(tmp_path):
    assert scan_bytes(tmp_path, header(kind=b"S") + padded(b"hello") + END).damage is TarDamage.BAD_HEADER


def test_members_of_unknown_types_are_stepped_over(tmp_path):
    index = scan_bytes(tmp_path, header(b"?.txt", kind=b"V") + padded(b"hello") + HELLO + END)
    assert ([m.name for m in index.members], index.damage) == (["a.txt"], None)


def test_a_directory_of_the_oldest_format_is_no_member(tmp_path):
    index = scan_bytes(tmp_path, header(b"d/", b"0\0", kind=b"\0") + HELLO + END)
    assert ([m.name for m in index.members], index.damage) == (["a.txt"], None)


def test_a_zeroed_header_does_not_hide_what_follows(tmp_path):
    index = scan_bytes(tmp_path, HELLO + bytes(512) + padded(b"world") + END)
    assert (index.damage, index.end) == (TarDamage.DATA_AFTER_END, len(HELLO))
    assert scan_bytes(tmp_path, HELLO + END + bytes(8192)).damage is None


def test_an_empty_file_has_no_end(tmp_path):
    assert scan_bytes(tmp_path, b"").damage is TarDamage.MISSING_END
    assert scan_bytes(tmp_path, b"not a tar" * 100).damage is TarDamage.BAD_HEADER


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.tar cannot be opened"):
        scan_tar(tmp_path / "nowhere.tar")


@pytest.mark.parametrize(
    "name", ["a.jpg", "a/b/c.001.jpg", "./a.jpg", "..a.jpg", "a..jpg", "日本/é.txt", "with space.txt"]
)
def test_safe_names(name):
    assert is_safe_name(name)


@pytest.mark.parametrize(
    "name", ["", "/a.jpg", "a/", "../a.jpg", "a/../../b.jpg", "a/..", "a\\b.jpg", "a\0b", "a\nb", "\x7f", "a\udc80.jpg"]
)
def test_unsafe_names(name):
    assert not is_safe_name(name)


@shared_tmp_path
@given(st.binary(max_size=3000))
def test_arbitrary_bytes_never_raise(tmp_path, data):
    index = scan_bytes(tmp_path, data)
    assert all(m.offset + m.size <= len(data) for m in index.members)


@shared_tmp_path
@given(st.data())
def test_arbitrary_damage_never_raises(tmp_path, data):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for i in range(3):
            info = tarfile.TarInfo("é" * i + f"{i}.txt")
            info.size = 3
            archive.addfile(info, io.BytesIO(b"abc"))
    damaged = bytearray(buffer.getvalue()[:8192])
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    index = scan_bytes(tmp_path, bytes(damaged))
    assert all(m.offset + m.size <= len(damaged) for m in index.members)


PAX_RECORD = b"18 path=long/name\n"
PARTS = [
    HELLO,
    header(b"b.txt", b"%011o\0" % 513) + bytes(1024),
    header(b"longlink", b"%011o\0" % 9, b"L") + padded(b"new/n.txt"),
    header(b"PaxHeader", b"%011o\0" % len(PAX_RECORD), b"x") + padded(PAX_RECORD),
    header(b"d/", b"0\0", kind=b"5"),
]


@shared_tmp_path
@given(
    parts=st.lists(st.integers(0, len(PARTS) - 1), min_size=1, max_size=7),
    damage=st.lists(st.tuples(st.integers(0, 8191), st.integers(0, 255)), max_size=2),
    cut=st.none() | st.integers(0, 8192),
)
@example(parts=[0, 1, 0], damage=[(2600, 9)], cut=None)
def test_the_index_does_not_depend_on_how_many_headers_are_verified_at_once(tmp_path, parts, damage, cut):
    data = bytearray(b"".join(PARTS[part] for part in parts) + END)
    for position, value in damage:
        data[position % len(data)] = value
    found = set()
    for num_windows in (1, 2, 3, 1000):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tar_index, "_BATCH_WINDOWS", num_windows)
            patch.setattr(tar_index, "WINDOW_BYTES", 1024)
            index = scan_bytes(tmp_path, bytes(data[:cut]))
            found.add((index.members, index.damage, index.end, index.cut_name))
    assert len(found) == 1


@given(st.lists(st.text(st.sampled_from("a./\\\n\ud800é \u200b"), max_size=6), max_size=6))
def test_unsafe_names_are_those_that_are_not_safe(names):
    assert unsafe_names(names) == {name for name in names if not is_safe_name(name)}
