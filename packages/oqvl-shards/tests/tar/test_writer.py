import hashlib
import tarfile
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from oqvl_shards.atomic import PARTIAL_SUFFIX
from oqvl_shards.dataset import describe_file
from oqvl_shards.errors import DataError, UsageError
from oqvl_shards.tar import writer as tar_writer
from oqvl_shards.tar.index import Member, scan_tar
from oqvl_shards.tar.writer import TarWriter

# webdataset passes over names that begin with two underscores.
key_characters = st.characters(codec="utf-8", exclude_characters="\0/\\._", exclude_categories=["Cc", "Cs"])
keys = st.text(key_characters, min_size=1, max_size=150)
samples = st.dictionaries(
    keys,
    st.dictionaries(st.sampled_from(["jpg", "txt", "json", "001.png"]), st.binary(max_size=1500), min_size=1),
    max_size=5,
)
shared_tmp_path = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)


def write(path, members):
    with TarWriter(path) as writer:
        for name, data in members.items():
            writer.add(name, data)
    return writer


def content(archive, name):
    file = archive.extractfile(name)
    assert file is not None
    return file.read()


@shared_tmp_path
@given(samples)
@example({"é" * 60: {"jpg": b"x" * 513, "txt": b""}, "n" * 97: {"txt": b"1"}, "n" * 96: {"txt": b"2"}})
def test_tarfile_and_webdataset_read_what_was_written(tmp_path, samples):
    import webdataset

    path = tmp_path / "s.tar"
    members = {f"{key}.{suffix}": data for key, parts in samples.items() for suffix, data in parts.items()}
    write(path, members)

    with tarfile.open(path) as archive:
        assert {info.name: content(archive, info.name) for info in archive} == members
        assert {(info.mtime, info.uid, info.gid, info.mode) for info in archive} <= {(0, 0, 0, 0o644)}
    index = scan_tar(path)
    data = path.read_bytes()
    assert {m.name: data[m.offset : m.offset + m.size] for m in index.members} == members
    assert index.damage is None
    pipeline = webdataset.WebDataset([str(path)], shardshuffle=False, empty_check=False)
    found = {s["__key__"]: {k: v for k, v in s.items() if not k.startswith("__")} for s in pipeline}
    assert found == samples


def test_the_bytes_are_these_for_ever(tmp_path):
    shard = write(tmp_path / "s.tar", {"a.txt": b"hello", "é" * 80 + ".txt": b"", "b.jpg": bytes(600)}).shard(
        2, tmp_path
    )
    assert shard.sha256 == "0f25cb4ddcad470504b8384bf5cfca29e5094b8c73034abb9a9cacbfd1caf0eb"


def test_the_entry_is_that_of_the_file_on_disk(tmp_path):
    directory = tmp_path / "dataset" / "part"
    directory.mkdir(parents=True)
    writer = write(directory / "s.tar", {"a.txt": b"hello", "a.jpg": bytes(5000)})
    shard = writer.shard(1, tmp_path / "dataset")
    assert shard == describe_file(directory / "s.tar", tmp_path / "dataset", 1)
    assert shard.path == "part/s.tar"


@shared_tmp_path
@given(members=st.dictionaries(keys.map("{}.bin".format), st.binary(max_size=3000), max_size=4))
def test_copying_every_member_gives_the_same_tar(tmp_path, members):
    write(tmp_path / "source.tar", members)
    with TarWriter(tmp_path / "copy.tar") as writer:
        for member in scan_tar(tmp_path / "source.tar").members:
            writer.copy(tmp_path / "source.tar", [member])
    assert (tmp_path / "copy.tar").read_bytes() == (tmp_path / "source.tar").read_bytes()
    digest = hashlib.sha256((tmp_path / "copy.tar").read_bytes()).hexdigest()
    assert writer.shard(0, tmp_path).sha256 == digest


@shared_tmp_path
@given(
    contents=st.lists(st.tuples(st.sampled_from(["x.bin", "é.bin", "n" * 120]), st.binary(max_size=1200)), max_size=6),
    order=st.randoms(use_true_random=False),
    num_buffered=st.sampled_from([1024, 2000, 4096, 1 << 18]),
    min_bulk_headers=st.sampled_from([1, 1000]),
    is_shuffled=st.booleans(),
)
@example(
    [("x.bin", bytes(512)), ("x.bin", bytes(512))], Random(0), 4 * 512, 1, False
)  # fills the buffer to the last byte
def test_copying_is_adding_what_the_source_holds(
    tmp_path, foreign_tar, contents, order, num_buffered, min_bulk_headers, is_shuffled
):
    source = foreign_tar([(f"{number}/{name}", data) for number, (name, data) in enumerate(contents)])
    members = list(scan_tar(source).members)
    data = bytearray(source.read_bytes())
    for member in members:  # what fills the last block is none of the content
        end = member.offset + member.size
        data[end : end + -end % 512] = b"?" * (-end % 512)
    source.write_bytes(data)
    if is_shuffled:
        order.shuffle(members)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tar_writer, "_BUFFER_BYTES", num_buffered)
        patch.setattr(tar_writer, "_MIN_BULK_HEADERS", min_bulk_headers)
        with TarWriter(tmp_path / "copied.tar") as copied:
            copied.copy(source, [member._replace(name=f"new/{member.name}") for member in members])
    with TarWriter(tmp_path / "added.tar") as added:
        for member in members:
            added.add(f"new/{member.name}", data[member.offset : member.offset + member.size])
    assert (tmp_path / "copied.tar").read_bytes() == (tmp_path / "added.tar").read_bytes()
    assert copied.shard(1, tmp_path).sha256 == added.shard(1, tmp_path).sha256


def test_a_member_larger_than_the_copy_block_is_copied_whole(tmp_path):
    data = bytes(range(256)) * 12_345
    write(tmp_path / "source.tar", {"a.bin": data})
    with TarWriter(tmp_path / "copy.tar") as writer:
        (member,) = scan_tar(tmp_path / "source.tar").members
        writer.copy(tmp_path / "source.tar", [member._replace(name="b.bin")])
    with tarfile.open(tmp_path / "copy.tar") as archive:
        assert content(archive, "b.bin") == data


def test_a_source_that_ends_early_fails_the_whole_tar(tmp_path):
    (tmp_path / "short").write_bytes(b"abc")
    with pytest.raises(DataError, match="ends 7 bytes early"), TarWriter(tmp_path / "s.tar") as writer:
        writer.copy(tmp_path / "short", [Member("a.txt", 0, 10)])
    assert [path.name for path in tmp_path.iterdir()] == ["short"]


@pytest.mark.parametrize(
    "name", ["", "/a.txt", "../a.txt", "a/../b.txt", "a\0.txt", "a\\b.txt", "a\n.txt", "a/", "\udc80.txt"]
)
def test_names_that_could_lead_elsewhere_are_refused(tmp_path, name):
    with pytest.raises(DataError, match="member name"), TarWriter(tmp_path / "s.tar") as writer:
        writer.add(name, b"")


def test_a_name_is_taken_once(tmp_path):
    with pytest.raises(DataError, match=r"already has a member 'a\.txt'"), TarWriter(tmp_path / "s.tar") as writer:
        writer.add("a.txt", b"1")
        writer.add("a.txt", b"2")


@given(st.lists(st.tuples(st.text("ab/._-", min_size=1, max_size=100), st.integers(0, 8**11 - 1)), min_size=1))
def test_many_headers_are_those_of_one_by_one(members):
    names, sizes = zip(*members, strict=True)
    assert tar_writer._plain_headers(names, sizes) == [tar_writer._header_blocks(*member) for member in members]


def _partial_of(path: Path) -> Path:
    (partial,) = path.parent.glob(f"{path.name}.*{PARTIAL_SUFFIX}")
    return partial


def test_names_that_are_copied_together_are_distinct(tmp_path):
    with pytest.raises(DataError, match=r"already has a member 'a\.txt'"), TarWriter(tmp_path / "s.tar") as writer:
        writer.copy(
            _partial_of(tmp_path / "s.tar"), [Member("b.txt", 0, 0), Member("a.txt", 0, 0), Member("a.txt", 0, 0)]
        )


def test_a_member_that_ustar_cannot_hold_is_refused(tmp_path):
    with pytest.raises(DataError, match="8589934592 bytes"), TarWriter(tmp_path / "s.tar") as writer:
        writer.copy(_partial_of(tmp_path / "s.tar"), [Member("a.bin", 0, 8**11)])


def test_an_interrupted_writer_leaves_nothing_under_the_final_name(tmp_path):
    path = tmp_path / "s.tar"
    with pytest.raises(KeyboardInterrupt), TarWriter(path) as writer:
        writer.add("a.txt", b"hello")
        assert not path.exists()
        assert _partial_of(path).exists()
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_writer_leaves_the_former_file_alone(tmp_path):
    write(tmp_path / "s.tar", {"a.txt": b"old"})
    before = (tmp_path / "s.tar").read_bytes()
    with pytest.raises(RuntimeError), TarWriter(tmp_path / "s.tar") as writer:
        writer.add("a.txt", b"new")
        raise RuntimeError
    assert (tmp_path / "s.tar").read_bytes() == before


def test_the_entry_needs_a_finished_tar(tmp_path):
    with TarWriter(tmp_path / "s.tar") as writer, pytest.raises(UsageError, match="not finished"):
        writer.shard(0, tmp_path)
