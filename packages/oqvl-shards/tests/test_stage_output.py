"""A toy stage, run to its end, killed at three points, raced, refused and resumed."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

from oqvl_shards.atomic import atomic_write
from oqvl_shards.claim import claim
from oqvl_shards.config import StageConfig
from oqvl_shards.dataset import Dataset, describe_file, open_dataset, write_manifest
from oqvl_shards.errors import ConfigError, DataError, ManifestError, UsageError
from oqvl_shards.manifest import Account, ImageTextDetails, Lineage, Manifest
from oqvl_shards.receipt import Receipt, read_receipt, write_receipt
from oqvl_shards.stage_output import StageOutput, stage_output

NUM_SHARDS = 4


class Settings(StageConfig):
    seed: int = Field(default=0, description="seed")
    limits: dict[str, int] = Field(default={}, description="a table")
    output: Path = Field(default=Path("out"), description="output", json_schema_extra={"lineage": False})


def parent(name: str = "raw") -> Manifest:
    return Manifest(
        name=name,
        details=ImageTextDetails(),
        shards=(),
        account=Account(num_in=0, num_kept=0),
        lineage=Lineage.derive("oqvl-x make", "1.0", StageConfig()),
    )


def write_shard(directory: Path, number: int, step: str, seed: int) -> Receipt:
    name = f"{number:05d}.bin"
    if finished := read_receipt(directory, name, step):
        return finished
    atomic_write(directory / name, f"shard {number} of seed {seed}".encode())
    shard = describe_file(directory / name, directory, 1)
    return write_receipt(directory, Receipt(step=step, shard=shard, account=Account(num_in=1, num_kept=1)))


def toy(directory: Path, seed: int = 0, *, num_shards: int = NUM_SHARDS, version: str = "1.0", **more: Any) -> Dataset:
    """A stage with receipts and a scratch directory."""
    with stage_output(
        "oqvl-x toy", directory, Settings(seed=seed), version=version, scratch=["work"], **more
    ) as output:
        if output.dataset is None:
            atomic_write(directory / "work" / "notes", b"notes")
            receipts = [write_shard(directory, number, output.step, seed) for number in range(num_shards)]
            output.finish(name="toy", details=ImageTextDetails(), shards=receipts)
        return output.finished()


def content(directory: Path) -> dict[str, bytes]:
    return {
        path.relative_to(directory).as_posix(): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }


@pytest.fixture
def whole(tmp_path: Path) -> dict[str, bytes]:
    """What an undisturbed run writes."""
    toy(tmp_path / "undisturbed")
    return content(tmp_path / "undisturbed")


def test_a_finished_output_holds_its_shards_and_the_manifest(tmp_path: Path, whole: dict[str, bytes]) -> None:
    assert sorted(whole) == ["00000.bin", "00001.bin", "00002.bin", "00003.bin", "manifest.json"]
    dataset = open_dataset(tmp_path / "undisturbed")
    assert dataset.manifest.account == Account(num_in=4, num_kept=4)
    assert dataset.manifest.lineage == Lineage.derive("oqvl-x toy", "1.0", Settings())


def test_a_second_run_does_no_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = toy(tmp_path)
    monkeypatch.setattr(f"{__name__}.write_shard", None)
    assert toy(tmp_path) == first


def test_the_version_is_that_of_the_installed_distribution(tmp_path: Path) -> None:
    from importlib.metadata import version

    with stage_output("oqvl-shards toy", tmp_path / "out", Settings()) as output:
        assert output.lineage.version == version("oqvl-shards")
        output.finish(name="toy", details=ImageTextDetails(), shards=[])


def test_pinned_values_are_part_of_the_lineage(tmp_path: Path) -> None:
    raw = parent()
    with stage_output(
        "oqvl-x toy", tmp_path / "out", Settings(), version="1", parents=[raw], pinned={"files": (("a", "1"),)}
    ) as output:
        output.finish(name="toy", details=ImageTextDetails(), shards=[])
    lineage = open_dataset(tmp_path / "out").manifest.lineage
    assert lineage.config == {"config": {"limits": {}, "seed": 0}, "files": [["a", "1"]]}
    assert lineage.parents == (raw.digest(),)
    assert lineage == output.lineage  # as read back from disk, too


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 1}, r"made with other values of seed"),
        ({"version": "2.0"}, r"made by version 1\.0"),
        ({"parents": [parent()]}, r"made from other inputs"),
        ({"pinned": {"model": "0" * 64}}, r"made with other values of config, limits, model, seed"),
    ],
)
def test_another_output_is_refused_and_says_in_what_it_differs(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    toy(tmp_path)
    before = content(tmp_path)
    with pytest.raises(ConfigError, match=rf"already holds the output of oqvl-x toy 1\.0, {message}") as caught:
        toy(tmp_path, **change)
    assert "choose another output directory" in caught.value.hint
    assert content(tmp_path) == before


def test_nested_keys_that_differ_are_named(tmp_path: Path) -> None:
    with stage_output("oqvl-x t", tmp_path, Settings(limits={"side": 3, "top": 1}), version="1") as output:
        output.finish(name="toy", details=ImageTextDetails(), shards=[])
    with (
        pytest.raises(ConfigError, match=r"with other values of limits\.side"),
        stage_output("oqvl-x t", tmp_path, Settings(limits={"side": 4, "top": 1}), version="1"),
    ):
        raise AssertionError("the block must not run")


def test_files_of_others_are_never_overwritten(tmp_path: Path) -> None:
    for name in ("shard-00000.tar", "notes.txt"):
        (tmp_path / name).write_bytes(b"mine")
    before = content(tmp_path)
    with pytest.raises(ConfigError, match=r"holds notes\.txt and 1 more, which this command did not write"):
        toy(tmp_path)
    assert content(tmp_path) == before


@pytest.mark.parametrize(("path", "reason"), [("notes.txt/inner", "Not a directory"), ("notes.txt", "File exists")])
def test_an_output_that_cannot_be_written_is_named(tmp_path: Path, path: str, reason: str) -> None:
    (tmp_path / "notes.txt").write_bytes(b"mine")
    with pytest.raises(ConfigError, match=rf"{path} cannot be written: {reason}"):
        toy(tmp_path / path)


def test_a_stage_in_place_describes_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"abc")
    (tmp_path / "b.bin.0123abcd.partial").write_bytes(b"of another tool")
    (tmp_path / "manifest.json.0123abcd.partial").write_bytes(b"of a killed run")
    with stage_output("oqvl-x look", tmp_path, Settings(), version="1", in_place=True) as output:
        shard = describe_file(tmp_path / "a.bin", tmp_path, 1)
        output.finish(name="seen", details=ImageTextDetails(), shards=[shard], account=Account(num_in=1, num_kept=1))
    assert sorted(content(tmp_path)) == ["a.bin", "b.bin.0123abcd.partial", "manifest.json"]


def _look(directory: Path, seed: int) -> None:
    with stage_output("oqvl-x look", directory, Settings(seed=seed), version="1", in_place=True) as output:
        shards = [describe_file(path, directory, 1) for path in sorted(directory.glob("*.bin"))]
        account = Account(num_in=len(shards), num_kept=len(shards))
        output.finish(name="seen", details=ImageTextDetails(), shards=shards, account=account)


def test_what_another_tool_has_begun_does_not_pass_for_a_whole_dataset(tmp_path: Path, whole: dict[str, bytes]) -> None:
    directory = tmp_path / "out"
    with pytest.raises(DataError), stage_output("oqvl-x toy", directory, Settings(), version="1.0") as output:
        write_shard(directory, 0, output.step, 0)
        raise DataError("the second input is damaged")
    before = content(directory)
    with pytest.raises(ConfigError, match=r"holds the unfinished output of oqvl-x toy 1\.0") as caught:
        _look(directory, seed=0)
    assert "run that command again" in caught.value.hint
    assert content(directory) == before
    toy(directory)
    assert content(directory) == whole


def test_a_stage_in_place_that_was_stopped_may_go_on_with_other_settings(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"abc")
    stopped = Lineage.derive("oqvl-x look", "1", Settings(seed=1))
    (tmp_path / "unfinished.json").write_text(stopped.model_dump_json(), encoding="utf-8")
    _look(tmp_path, seed=2)
    assert sorted(content(tmp_path)) == ["a.bin", "manifest.json"]


def test_a_damaged_mark_in_place_is_the_only_thing_to_delete(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"abc")
    (tmp_path / "unfinished.json").write_text("{", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"unfinished\.json is damaged") as caught:
        _look(tmp_path, seed=0)
    assert f"delete {tmp_path / 'unfinished.json'}," in caught.value.hint


def test_a_forked_child_that_leaves_the_block_takes_nothing_away(tmp_path: Path) -> None:
    parent = os.getpid()
    try:
        with stage_output("oqvl-x toy", tmp_path / "out", Settings(), version="1.0") as output:
            child = os.fork()
            if child == 0:
                raise SystemExit
            os.waitpid(child, 0)
            assert {"claim.json", "unfinished.json"} <= set(content(tmp_path / "out"))
            output.finish(name="toy", details=ImageTextDetails(), shards=[])
    finally:
        if os.getpid() != parent:
            os._exit(0)


def test_a_directory_that_another_run_removes_in_between_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    claims: list[Path] = []

    def claim_once_gone(directory: Path, tool: str) -> Any:
        claims.append(directory)
        if len(claims) == 1:
            directory.rmdir()
        return claim(directory, tool)

    monkeypatch.setattr("oqvl_shards.stage_output.claim", claim_once_gone)
    toy(tmp_path / "out")
    assert len(claims) == 2


@pytest.mark.parametrize("in_place", [False, True])
def test_a_run_that_fails_before_it_writes_leaves_no_trace(tmp_path: Path, in_place: bool) -> None:
    directory = tmp_path / "deep" / "out"
    with (
        pytest.raises(DataError),
        stage_output("oqvl-x toy", directory, Settings(), version="1", in_place=in_place),
    ):
        raise DataError("the input is damaged")
    assert not directory.exists()
    toy(directory, seed=7)


def test_a_run_that_fails_halfway_is_gone_on_from(tmp_path: Path, whole: dict[str, bytes]) -> None:
    directory = tmp_path / "out"
    with pytest.raises(DataError), stage_output("oqvl-x toy", directory, Settings(), version="1.0") as output:
        write_shard(directory, 0, output.step, 0)
        raise DataError("the second input is damaged")
    assert (directory / "unfinished.json").exists()
    with pytest.raises(ManifestError, match="run it again"):
        open_dataset(directory)
    written = (directory / "00000.bin").stat().st_mtime_ns
    with pytest.raises(ConfigError, match=r"the unfinished output of oqvl-x toy 1\.0, made with other values of seed"):
        toy(directory, seed=1)
    toy(directory)
    assert (directory / "00000.bin").stat().st_mtime_ns == written
    assert content(directory) == whole


def test_a_damaged_mark_is_named(tmp_path: Path) -> None:
    (tmp_path / "unfinished.json").write_text("{", encoding="utf-8")
    (tmp_path / "00000.bin").write_bytes(b"begun")
    with pytest.raises(ConfigError, match=r"unfinished\.json is damaged"):
        toy(tmp_path)


def test_no_manifest_covers_a_shard_of_somebody_else(tmp_path: Path) -> None:
    with (
        pytest.raises(DataError, match=r"00001\.bin is not the file that this run wrote"),
        stage_output("oqvl-x toy", tmp_path, Settings(), version="1.0") as output,
    ):
        receipts = [write_shard(tmp_path, number, output.step, 0) for number in range(2)]
        (tmp_path / "00001.bin").write_bytes(b"shard 1 of seed 1")
        output.finish(name="toy", details=ImageTextDetails(), shards=receipts)
    assert not (tmp_path / "manifest.json").exists()


def test_shards_without_an_account_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"abc")
    shard = describe_file(tmp_path / "a.bin", tmp_path, 1)
    with (
        pytest.raises(UsageError, match="without an account, but 1 shards are not receipts"),
        stage_output("oqvl-x look", tmp_path, Settings(), version="1", in_place=True) as output,
    ):
        output.finish(name="seen", details=ImageTextDetails(), shards=[shard])


def test_a_stage_that_does_not_finish_is_a_bug(tmp_path: Path) -> None:
    with stage_output("oqvl-x toy", tmp_path, Settings(), version="1.0") as output, pytest.raises(RuntimeError):
        output.finished()


def test_an_output_below_the_claimed_directory(tmp_path: Path) -> None:
    with stage_output("oqvl-x toy", tmp_path, Settings(), version="1.0", dataset="model") as output:
        (tmp_path / "log.txt").write_text("kept", encoding="utf-8")
        (tmp_path / "model").mkdir()
        output.finish(name="toy", details=ImageTextDetails(), shards=[], account=Account(num_in=0, num_kept=0))
    assert sorted(content(tmp_path)) == ["log.txt", "model/manifest.json"]
    with stage_output("oqvl-x toy", tmp_path, Settings(), version="1.0", dataset="model") as output:
        assert output.finished().path == tmp_path / "model"


def _killed_at(point: str, directory: Path) -> None:
    """Run the toy stage in this process and kill it, as by SIGKILL, at `point`."""

    def die(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    if point == "between two shards":
        original = write_shard
        globals()["write_shard"] = lambda directory, number, *rest: (
            die() if number == 2 else original(directory, number, *rest)
        )
    elif point == "before the manifest":
        pytest.MonkeyPatch().setattr(StageOutput, "finish", die)
    else:
        pytest.MonkeyPatch().setattr(StageOutput, "_remove_leftovers", die)
    toy(directory)


@pytest.mark.parametrize("point", ["between two shards", "before the manifest", "between manifest and clean-up"])
def test_a_kill_at_any_point_leaves_what_a_rerun_completes(tmp_path: Path, whole: dict[str, bytes], point: str) -> None:
    directory = tmp_path / "out"
    process = multiprocessing.get_context("fork").Process(target=_killed_at, args=(point, directory))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert (directory / "manifest.json").exists() == (point == "between manifest and clean-up")
    assert {"unfinished.json", "claim.json", "00001.bin.receipt", "work/notes"} <= set(content(directory))
    toy(directory)
    assert content(directory) == whole


def test_what_a_kill_left_in_a_finished_output_stays_while_its_owner_lives(
    tmp_path: Path, whole: dict[str, bytes]
) -> None:
    directory = tmp_path / "out"
    toy(directory)
    (directory / "unfinished.json").write_bytes(b"left")
    script = "import sys; from pathlib import Path; from oqvl_shards.claim import claim\n"
    script += "with claim(Path(sys.argv[1]), 'oqvl-x toy'): print('claimed', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", script, directory], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "claimed\n"
        assert toy(directory).manifest.name == "toy"
        assert (directory / "unfinished.json").exists()
        owner.kill()
    toy(directory)
    assert content(directory) == whole


def _race(directory: Path, seed: int, start: float, results: Any) -> None:
    time.sleep(max(0.0, start - time.monotonic()))
    try:
        toy(directory, seed, num_shards=40)
        results.put((seed, "finished"))
    except ConfigError as error:
        results.put((seed, error.message))


@pytest.mark.parametrize("seeds", [(0, 1), (0, 0), (0, 1, 2, 0)])
@pytest.mark.parametrize("turn", range(4))
def test_of_runs_that_start_together_one_writes_and_the_others_are_told(
    tmp_path: Path, seeds: tuple[int, ...], turn: int
) -> None:
    context = multiprocessing.get_context("fork")
    results, start = context.Queue(), time.monotonic() + 0.1
    runs = [
        context.Process(target=_race, args=(tmp_path / "out", seed, start + 0.002 * turn * number, results))
        for number, seed in enumerate(seeds)
    ]
    for run in runs:
        run.start()
    outcomes = [results.get() for _ in runs]
    for run in runs:
        run.join()
    winners = {seed for seed, outcome in outcomes if outcome == "finished"}
    assert len(winners) == 1
    for _, outcome in outcomes:
        assert (
            outcome == "finished" or "is being written by oqvl-x toy: process" in outcome or "already holds" in outcome
        )
    toy(tmp_path / "alone", winners.pop(), num_shards=40)
    assert content(tmp_path / "out") == content(tmp_path / "alone")


def test_the_manifest_that_another_run_wrote_in_between_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy(tmp_path / "twin")
    manifest = open_dataset(tmp_path / "twin").manifest
    directory = tmp_path / "out"

    def finish_elsewhere(*_: object) -> None:
        for shard in manifest.shards:
            (directory / shard.path).write_bytes((tmp_path / "twin" / shard.path).read_bytes())
        write_manifest(directory, manifest)

    monkeypatch.setattr("oqvl_shards.stage_output._claim", lambda path, *_: (path.mkdir(), finish_elsewhere()))
    monkeypatch.setattr(f"{__name__}.write_shard", None)
    assert toy(directory).manifest == manifest


def test_the_claim_of_a_run_that_died_is_cleaned_up_after_its_manifest(tmp_path: Path, whole: dict[str, bytes]) -> None:
    directory = tmp_path / "out"
    toy(directory)
    for name in ("claim.json", "00000.bin.receipt"):
        (directory / name).write_bytes(b"left")
    toy(directory)
    assert content(directory) == whole


def test_shards_and_receipts_may_stand_together_under_one_account(tmp_path: Path) -> None:
    with stage_output("oqvl-x toy", tmp_path, Settings(), version="1.0") as output:
        receipt = write_shard(tmp_path, 0, output.step, 0)
        atomic_write(tmp_path / "index.bin", b"an index")
        index = describe_file(tmp_path / "index.bin", tmp_path, 0)
        account = Account(num_in=3, num_kept=1, rejected={"dull": 2})
        output.finish(
            name="toy", details=ImageTextDetails(), shards=[receipt, index], account=account, statistics={"a": 1}
        )
    manifest = open_dataset(tmp_path).manifest
    assert [shard.path for shard in manifest.shards] == ["00000.bin", "index.bin"]
    assert (manifest.account, manifest.statistics) == (account, {"a": 1})
    assert sorted(content(tmp_path)) == ["00000.bin", "index.bin", "manifest.json"]


def test_a_step_is_its_whole_lineage(tmp_path: Path) -> None:
    steps = set()
    for number, (version, seed) in enumerate([("1", 0), ("2", 0), ("1", 1)]):
        with stage_output("oqvl-x toy", tmp_path / str(number), Settings(seed=seed), version=version) as output:
            steps.add(output.step)
    with stage_output("oqvl-x toy", tmp_path / "again", Settings(), version="1") as output:
        steps.add(output.step)
    assert len(steps) == 3


def test_an_error_while_a_failed_run_is_undone_does_not_hide_the_first(tmp_path: Path) -> None:
    directory = tmp_path / "out"
    with (
        pytest.raises(DataError, match="the input is damaged"),
        stage_output("oqvl-x toy", directory, Settings(), version="1"),
    ):
        shutil.rmtree(directory)
        raise DataError("the input is damaged")
