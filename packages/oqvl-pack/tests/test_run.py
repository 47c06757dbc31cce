"""The stages end to end: what is written, that it does not depend on workers or kills, and what is refused."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from oqvl_pack import run
from oqvl_pack.config import CheckConfig, PackConfig, PlanConfig, ShowConfig
from oqvl_pack.corpus.worker import Job, OutputShard, write_shard
from oqvl_pack.run import check_dataset, pack_dataset, plan_dataset, show_pack
from oqvl_shards.check import check_shards
from oqvl_shards.claim import claim
from oqvl_shards.errors import ConfigError, DataError
from oqvl_shards.packed import IGNORE_INDEX, Pack, PackedReader, encode_record
from oqvl_shards.receipt import Receipt
from oqvl_shards.stage_output import StageOutput
from oqvl_shards.tar.reader import ShardReader
from oqvl_shards.webdataset_bridge import to_webdataset

SMALL = {"bin_capacity": 256, "visual_tokens_per_image": 16, "packs_per_shard": 9}


def make_config(source: Path, tokenizer: Path, output: Path, **values: object) -> PackConfig:
    paths = {"source": source, "tokenizer": tokenizer, "output": output}
    return PackConfig.model_validate({**SMALL, **paths, **values})


def make_plan_config(source: Path, tokenizer: Path, output: Path, **values: object) -> PlanConfig:
    return PlanConfig.model_validate({**make_config(source, tokenizer, output).model_dump(), **values})


def tree(directory: Path) -> dict[str, bytes]:
    return {str(p.relative_to(directory)): p.read_bytes() for p in sorted(directory.rglob("*")) if p.is_file()}


@pytest.fixture
def packed(captions: Path, tokenizer_file: Path, tmp_path: Path) -> Path:
    pack_dataset(make_config(captions, tokenizer_file, tmp_path / "packed"))
    return tmp_path / "packed"


def test_packs_hold_the_samples(packed: Path, captions: Path) -> None:
    reader = PackedReader(packed)
    images = {}
    for path in sorted(captions.glob("*.tar")):
        with ShardReader(path) as source:
            images.update({f"{path.name}/{s.key}": source.images(s)[0] for s in source.samples if s.image_members})
    keys = []
    for pack in reader:
        keys += pack.record.document_keys
        assert pack.record.num_tokens <= 256
        for key, image_type, data in zip(pack.record.document_keys, pack.record.image_types, pack.images, strict=True):
            assert (image_type, data) == images[key]
        sequence = pack.record.expand()
        assert (sequence.labels[sequence.cu_seqlens[:-1]] == IGNORE_INDEX).all()
        assert (sequence.labels[sequence.input_ids == reader.details.image_token_id] == IGNORE_INDEX).all()
        # Begin token and 16 visual tokens a document carry no loss, everything else does.
        assert (sequence.labels != IGNORE_INDEX).sum() == pack.record.num_tokens - 17 * len(pack.images)
    assert len(keys) == len(set(keys)) == reader.details.num_documents == 111


def test_manifest_says_what_is_there(packed: Path) -> None:
    reader = PackedReader(packed)
    details, manifest = reader.details, reader.dataset.manifest
    records = [pack.record for pack in reader]
    assert manifest.num_samples == len(records) >= details.lower_bound
    assert details.num_tokens == sum(record.num_tokens for record in records)
    assert details.num_images == details.num_documents == sum(len(record.document_keys) for record in records)
    assert details.num_target_tokens == sum(int(record.is_target.sum()) for record in records)
    assert manifest.statistics["utilization"] == pytest.approx(details.num_tokens / len(records) / 256, abs=1e-6)
    assert (manifest.account.num_in, manifest.account.num_kept) == (120, 111)
    assert sorted(path.name for path in packed.iterdir()) == [
        "manifest.json",
        *(shard.path for shard in manifest.shards),
    ]


def test_webdataset_reads_it(packed: Path) -> None:
    keys = [sample["__key__"] for sample in to_webdataset(PackedReader(packed).dataset)]
    assert [int(key) for key in keys] == list(range(len(PackedReader(packed))))


def test_plan_says_what_run_writes(captions: Path, tokenizer_file: Path, packed: Path, tmp_path: Path) -> None:
    report = plan_dataset(make_plan_config(captions, tokenizer_file, tmp_path / "unwritten"))
    manifest = PackedReader(packed).dataset.manifest
    assert report.num_packs == manifest.num_samples
    assert report.lower_bound == PackedReader(packed).details.lower_bound
    assert report.rejected == manifest.account.rejected
    assert not (tmp_path / "unwritten").exists()


def test_plan_without_output_uses_the_disk_of_temporary_files(
    captions: Path, tokenizer_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "temporary"
    elsewhere.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(elsewhere))
    config = PlanConfig.model_validate({**SMALL, "source": captions, "tokenizer": tokenizer_file})
    report = plan_dataset(config)
    assert report.timing_directory == str(elsewhere)
    assert f"packs timed in {elsewhere}" in report.table()
    assert list(elsewhere.iterdir()) == []


def content(pack: Pack) -> tuple[bytes, tuple[bytes, ...]]:
    return encode_record(pack.record), pack.images


def test_both_layouts_hold_the_same_packs(captions: Path, tokenizer_file: Path, packed: Path, tmp_path: Path) -> None:
    reference = make_config(captions, tokenizer_file, tmp_path / "reference", layout="reference")
    pack_dataset(reference)
    assert [content(pack) for pack in PackedReader(reference.output)] == [
        content(pack) for pack in PackedReader(packed)
    ]
    assert check_shards(PackedReader(reference.output).dataset).is_good
    # The source is named by the manifest; it can be named again.
    for source in (None, captions):
        check = CheckConfig(packed=reference.output, source=source, tokenizer=tokenizer_file)
        assert check_dataset(check).num_images == 111
    show_pack(ShowConfig(packed=reference.output, output=tmp_path / "pack.png"))
    shutil.move(captions, tmp_path / "elsewhere")
    with pytest.raises(DataError, match="points into its source 'source', which is not at"):
        show_pack(ShowConfig(packed=reference.output, output=tmp_path / "pack.png"))


@pytest.mark.parametrize("layout", ["embedded", "reference"])
def test_a_mixture_accounts_for_every_source(
    captions: Path, conversations: Path, interleaved: Path, tokenizer_file: Path, tmp_path: Path, layout: str
) -> None:
    mixture = [
        {"source": captions, "num_tokens": 1500},
        {"source": conversations, "num_samples": 20},
        {"source": interleaved},
    ]
    values = {**SMALL, "bin_capacity": 512, "output": tmp_path / "mixed", "tokenizer": tokenizer_file, "layout": layout}
    report = pack_dataset(PackConfig.model_validate({**values, "mixture": mixture}))
    first, second, third = report.sources
    assert (first.name, second.name, third.name) == ("source", "turns", "documents")
    [budget] = report.token_budgets
    assert (budget.name, budget.asked, budget.reached, budget.gap) == ("source", 1500, first.num_tokens, 0)
    assert (second.account.num_in, second.account.num_kept) == (60, 20)
    assert third.account.num_in == 40
    assert report.num_tokens == sum(source.num_tokens for source in report.sources)
    dataset = PackedReader(tmp_path / "mixed").dataset
    assert len(dataset.manifest.lineage.parents) == 3
    found = {name: value for name, value in dataset.manifest.statistics.items() if name.startswith("tokens_")}
    assert found == {"tokens_asked_source": 1500, "tokens_reached_source": 1500, "tokens_gap_source": 0}
    assert dataset.manifest.statistics["num_trailing_images_cut"] == 6
    prefixes = {key.split("/")[0] for pack in PackedReader(dataset) for key in pack.record.document_keys}
    assert prefixes == {"source", "turns", "documents"}
    assert "of 60 samples packed" in report.table()
    assert "source: 1,500 tokens asked, 1,500 reached, 0 missing" in report.table()
    check = CheckConfig(
        packed=tmp_path / "mixed",
        mixture=() if layout == "reference" else (captions, conversations, interleaved),
        tokenizer=tokenizer_file,
    )
    assert check_dataset(check).num_documents == report.num_documents


def test_visual_tokens_image_by_image(interleaved: Path, tokenizer_file: Path, tmp_path: Path) -> None:
    pack_dataset(make_config(interleaved, tokenizer_file, tmp_path / "packed", visual_tokens_field="tokens"))
    reader = PackedReader(tmp_path / "packed")
    assert reader.details.visual_tokens_per_image == 0
    counts = {count for pack in reader for count in pack.record.image_tokens.tolist()}
    assert counts == {3, 4, 5}
    sequence = reader[0].record.expand()
    image_tokens = int((sequence.input_ids == reader.details.image_token_id).sum())
    assert image_tokens == reader[0].record.image_tokens.sum()
    check_dataset(CheckConfig(packed=tmp_path / "packed", source=interleaved, tokenizer=tokenizer_file))


def test_conversations(conversations: Path, tokenizer_file: Path, tmp_path: Path) -> None:
    config = make_config(conversations, tokenizer_file, tmp_path / "packed", template="conversation", system_prompt="")
    report = pack_dataset(config)
    assert (report.num_documents, report.num_images) == (54, 54)
    checked = check_dataset(CheckConfig(packed=config.output, source=conversations, tokenizer=tokenizer_file))
    assert (checked.num_documents, checked.num_images) == (54, 54)


def test_one_document_a_pack(captions: Path, tokenizer_file: Path, tmp_path: Path) -> None:
    report = pack_dataset(make_config(captions, tokenizer_file, tmp_path / "packed", max_documents=1))
    assert report.num_packs == report.num_documents == report.lower_bound == 111


@pytest.mark.parametrize("layout", ["embedded", "reference"])
def test_same_bytes_for_any_number_of_workers(
    captions: Path, tokenizer_file: Path, tmp_path: Path, layout: str
) -> None:
    for num_workers in (1, 2):
        output = tmp_path / str(num_workers)
        pack_dataset(make_config(captions, tokenizer_file, output, layout=layout, num_workers=num_workers))
    assert tree(tmp_path / "1") == tree(tmp_path / "2")


@pytest.mark.ray
@pytest.mark.usefixtures("ray_cluster")
def test_same_bytes_on_ray(captions: Path, tokenizer_file: Path, packed: Path, tmp_path: Path) -> None:
    pack_dataset(make_config(captions, tokenizer_file, tmp_path / "ray", engine="ray"))
    assert tree(tmp_path / "ray") == tree(packed)


KILLER = """
import json, os, pathlib, signal, sys
from oqvl_pack.config import PackConfig
from oqvl_pack.run import pack_dataset

root, values = pathlib.Path(sys.argv[1]), json.loads(sys.argv[2])
rename = pathlib.Path.replace

def attempt(output, kill_at):
    if os.fork() == 0:  # the parent never tokenises, so its children may
        renames = 0
        def replace(self, target):
            global_count[0] += 1
            if global_count[0] == kill_at and not after: os.kill(os.getpid(), signal.SIGKILL)
            result = rename(self, target)
            if global_count[0] == kill_at: os.kill(os.getpid(), signal.SIGKILL)
            return result
        global_count = [0]
        after = kill_at % 2
        pathlib.Path.replace = replace
        pack_dataset(PackConfig(**values, output=output))
        os._exit(0)
    return os.waitstatus_to_exitcode(os.wait()[1])

kill_at = 1
while attempt(root / str(kill_at), kill_at) == -signal.SIGKILL:
    assert attempt(root / str(kill_at), 0) == 0
    kill_at += 1
"""


@pytest.mark.parametrize("layout", ["embedded", "reference"])
def test_same_bytes_after_a_kill_at_any_rename(
    captions: Path, tokenizer_file: Path, tmp_path: Path, layout: str
) -> None:
    # The mark, three work files, three shards with receipts, the manifest; and the run that was not killed.
    values = {**SMALL, "source": captions, "tokenizer": tokenizer_file, "layout": layout}
    kill_at_every_rename(values, tmp_path / "root", num_outputs=12)


def test_a_mixture_has_the_same_bytes_after_a_kill_at_any_rename(
    captions: Path, conversations: Path, interleaved: Path, tokenizer_file: Path, tmp_path: Path
) -> None:
    mixture = [
        {"source": captions, "weight": 2},
        {"source": conversations, "weight": 1.5},
        {"source": interleaved, "num_tokens": 900},
    ]
    values = {**SMALL, "bin_capacity": 512, "mixture": mixture, "tokenizer": tokenizer_file}
    # The mark, seven work files, three shards with receipts, the manifest; and the run that was not killed.
    kill_at_every_rename(values, tmp_path / "root", num_outputs=16)


def kill_at_every_rename(values: Mapping[str, object], root: Path, *, num_outputs: int) -> None:
    """Kill a run before or after its first rename, another at its second ..., resume each; compare with a whole one."""
    command = [sys.executable, "-c", KILLER, root / "killed", json.dumps(values, default=str)]
    subprocess.run(command, check=True, env=os.environ)
    outputs = sorted((root / "killed").iterdir())
    assert len(outputs) == num_outputs
    whole = root / "whole" / "packed"
    pack_dataset(PackConfig.model_validate({**values, "output": whole}))
    for output in outputs:
        assert tree(output) == tree(whole)


def test_finished_output_is_not_made_again(captions: Path, tokenizer_file: Path, packed: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in packed.iterdir()}
    report = pack_dataset(make_config(captions, tokenizer_file, packed))
    assert report.num_documents == 111
    assert {path: path.stat().st_mtime_ns for path in packed.iterdir()} == before
    with pytest.raises(ConfigError, match="already holds the output"):
        pack_dataset(make_config(captions, tokenizer_file, packed, seed=1))


def test_work_of_another_configuration_is_kept_and_not_used(
    captions: Path, tokenizer_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: object, **_keywords: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(StageOutput, "finish", fail)
        pack_dataset(make_config(captions, tokenizer_file, tmp_path / "again", seed=5, bos_token=""))
    begun = tree(tmp_path / "again")
    with pytest.raises(
        ConfigError, match=r"unfinished output .* made with other values of config\.bos_token, config\.seed"
    ):
        pack_dataset(make_config(captions, tokenizer_file, tmp_path / "again"))
    assert tree(tmp_path / "again") == begun


def test_seed_changes_the_order_and_nothing_else(
    captions: Path, tokenizer_file: Path, packed: Path, tmp_path: Path
) -> None:
    pack_dataset(make_config(captions, tokenizer_file, tmp_path / "other", seed=1))
    keys = [[pack.record.document_keys for pack in PackedReader(path)] for path in (packed, tmp_path / "other")]
    assert keys[0] != keys[1]
    assert sorted(key for pack in keys[0] for key in pack) == sorted(key for pack in keys[1] for key in pack)


def test_template_must_fit_the_source(
    captions: Path, conversations: Path, tokenizer_file: Path, tmp_path: Path
) -> None:
    for source, template in ((captions, "conversation"), (conversations, "caption")):
        with pytest.raises(ConfigError, match=f"for template '{template}'"):
            pack_dataset(make_config(source, tokenizer_file, tmp_path / "packed", template=template))


def test_missing_special_token(captions: Path, tokenizer_file: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'<nothing>' is not a special token"):
        pack_dataset(make_config(captions, tokenizer_file, tmp_path / "packed", image_token="<nothing>"))
    assert not (tmp_path / "packed").exists()


def test_overlong_document_names_shard_and_sample(captions: Path, tokenizer_file: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"00000.tar: 00000.tar/0000\d\d has \d+ tokens"):
        pack_dataset(make_config(captions, tokenizer_file, tmp_path / "packed", bin_capacity=50))


def test_nothing_to_pack(captions: Path, tokenizer_file: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no sample of .* can be packed"):
        plan_dataset(make_plan_config(captions, tokenizer_file, tmp_path / "p", bin_capacity=5, overlong="drop"))


def test_show_draws_a_pack(packed: Path, tokenizer_file: Path, tmp_path: Path) -> None:
    config = ShowConfig(packed=packed, pack=-1, output=tmp_path / "pack.png", tokenizer=tokenizer_file)
    report = show_pack(config)
    record = PackedReader(packed)[-1].record
    assert (report.num_tokens, report.documents) == (record.num_tokens, record.document_keys)
    with Image.open(config.output) as image:
        colors = np.unique(np.asarray(image).reshape(-1, 3), axis=0)
    assert len(colors) > 10
    with pytest.raises(ConfigError, match="pack is 999"):
        show_pack(ShowConfig(packed=packed, pack=999, output=tmp_path / "pack.png"))


def test_show_draws_the_format_of_the_suffix(packed: Path, tmp_path: Path) -> None:
    show_pack(ShowConfig(packed=packed, output=tmp_path / "pack.jpg"))
    with Image.open(tmp_path / "pack.jpg") as image:
        assert image.format == "JPEG"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("pack.jpgg", r"pack\.jpgg ends in '\.jpgg', which is not a picture format"),
        ("pack", r"pack ends in ''"),
        ("absent/x.png", r"the directory of .*absent/x\.png does not exist"),
    ],
)
def test_show_refuses_a_file_that_cannot_be_drawn_before_any_work(name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        show_pack(ShowConfig(packed=tmp_path / "none", output=tmp_path / name))
    assert list(tmp_path.iterdir()) == []


def test_the_lineage_records_the_configuration_and_the_tokenizer(packed: Path, tokenizer_file: Path) -> None:
    lineage = PackedReader(packed).dataset.manifest.lineage
    assert lineage.tool == "oqvl-pack run"
    assert list(lineage.config) == ["config", "tokenizer_sha256"]
    assert lineage.config["tokenizer_sha256"] == hashlib.sha256(tokenizer_file.read_bytes()).hexdigest()
    assert lineage.config["config"]["bin_capacity"] == 256
    assert not {"source", "output", "tokenizer", "num_workers", "engine"} & set(lineage.config["config"])


def test_an_output_has_one_writer(captions: Path, tokenizer_file: Path, tmp_path: Path) -> None:
    output = tmp_path / "packed"
    output.mkdir()
    with claim(output, "somebody else"), pytest.raises(ConfigError, match="somebody else"):
        pack_dataset(make_config(captions, tokenizer_file, output))
    assert pack_dataset(make_config(captions, tokenizer_file, output)).num_documents == 111


def test_a_run_that_fails_before_it_writes_leaves_nothing(captions: Path, tokenizer_file: Path, tmp_path: Path) -> None:
    config = make_config(captions, tokenizer_file, tmp_path / "packed", bin_capacity=20)
    with pytest.raises(DataError, match="but a pack holds 20"):
        pack_dataset(config)
    assert not (tmp_path / "packed").exists()
    assert pack_dataset(config.model_copy(update={"bin_capacity": 256})).num_documents == 111


def test_work_files_of_a_finished_run_are_removed(captions: Path, tokenizer_file: Path, packed: Path) -> None:
    assert not (packed / "work").exists()
    # What a run that was killed right after its manifest left behind goes with the next one.
    (packed / "work").mkdir()
    (packed / "work" / "00000.npz").write_bytes(b"left over")
    pack_dataset(make_config(captions, tokenizer_file, packed))
    assert not (packed / "work").exists()


@pytest.mark.parametrize("pack", [12345, -12345])
def test_a_pack_that_is_not_there(packed: Path, tmp_path: Path, pack: int) -> None:
    num_packs = len(PackedReader(packed))
    with pytest.raises(ConfigError, match=f"pack is {pack}, but .* has {num_packs} packs") as caught:
        show_pack(ShowConfig(packed=packed, pack=pack, output=tmp_path / "pack.png"))
    assert f"name one from 0 to {num_packs - 1}" in caught.value.hint


def test_the_last_pack_counted_from_the_end(packed: Path, tmp_path: Path) -> None:
    reports = [
        show_pack(ShowConfig(packed=packed, pack=pack, output=tmp_path / "pack.png"))
        for pack in (-1, len(PackedReader(packed)) - 1)
    ]
    assert reports[0] == reports[1]
    assert reports[0].num_tokens <= reports[0].bin_capacity == 256


def interrupt(monkeypatch: pytest.MonkeyPatch, config: PackConfig, num_shards: int) -> None:
    """Begin a run, and stop it when `num_shards` output shards are finished."""
    written = []

    def write_or_stop(output_shard: OutputShard, job: Job) -> Receipt:
        if len(written) == num_shards:
            raise KeyboardInterrupt
        written.append(output_shard)
        return write_shard(output_shard, job)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(run, "write_shard", write_or_stop)
        pack_dataset(config)


@pytest.mark.parametrize("damage", ["nothing", "a work file", "all work files", "an unfinished shard"])
def test_same_bytes_after_a_stop_between_any_two_shards(
    captions: Path,
    tokenizer_file: Path,
    packed: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    damage: str,
) -> None:
    num_shards = len(PackedReader(packed).dataset.manifest.shards)
    assert num_shards == 3
    for num_finished in range(num_shards):
        output = tmp_path / f"stopped-{num_finished}"
        config = make_config(captions, tokenizer_file, output)
        interrupt(monkeypatch, config, num_finished)
        finished = {path.name: path.stat().st_mtime_ns for path in output.glob("shard-*.tar")}
        assert len(finished) == num_finished
        work_files = sorted((output / "work").iterdir())
        assert len(work_files) == 3
        if damage == "a work file":
            work_files[1].write_bytes(work_files[1].read_bytes()[:-100])
        elif damage == "all work files":
            shutil.rmtree(output / "work")
        elif damage == "an unfinished shard":
            (output / f"shard-{num_finished:05d}.tar").write_bytes(b"cut short")
        pack_dataset(config)
        assert tree(output) == tree(packed)
        # What was finished is not written again.
        assert finished.items() <= {path.name: path.stat().st_mtime_ns for path in output.glob("shard-*.tar")}.items()


def test_packs_that_point_into_a_source_that_shrank(
    captions: Path, tokenizer_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_config(captions, tokenizer_file, tmp_path / "packed", layout="reference")
    interrupt(monkeypatch, config, 0)
    shard = captions / "00001.tar"
    whole = shard.read_bytes()
    shard.write_bytes(whole[: len(whole) // 2])
    # Going on opens the source again and sees that a file has another size.
    with pytest.raises(DataError, match=r"00001\.tar: found [\d,]+ bytes, expected [\d,]+ bytes"):
        pack_dataset(config)
    assert not (config.output / "manifest.json").exists()
    shard.write_bytes(whole)
    pack_dataset(config)
    assert len(PackedReader(config.output)) > 0
    # Readers see it too, when it happens after packing.
    shard.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"source shard .*00001\.tar: found \d+ bytes, expected \d+ bytes"):
        PackedReader(config.output)[0]
