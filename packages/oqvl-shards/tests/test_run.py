import base64
import io
import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from oqvl_shards.check import check_shards
from oqvl_shards.dataset import open_dataset
from oqvl_shards.errors import ConfigError, DataError
from oqvl_shards.importers.config import DamagedShards, ImportLlavaConfig, ImportObelicsConfig, ImportWebdatasetConfig
from oqvl_shards.manifest import Kind
from oqvl_shards.run import import_llava, import_obelics, import_webdataset
from oqvl_shards.tar.reader import ShardReader
from oqvl_shards.tar.writer import TarWriter
from oqvl_shards.webdataset_bridge import to_webdataset


@pytest.fixture(scope="module")
def jpg() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 6), "olive").save(buffer, "JPEG")
    return buffer.getvalue()


def content(directory: Path) -> dict[str, bytes]:
    return {
        path.relative_to(directory).as_posix(): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }


class TestWebdataset:
    @pytest.fixture
    def folder(self, tmp_path: Path, jpg: bytes) -> Path:
        for number in (0, 2, 10):
            with TarWriter(tmp_path / "pool" / f"{number}.tar") as tar:
                for key in range(3):
                    tar.add(f"{number}-{key}.jpg", jpg)
                    tar.add(f"{number}-{key}.txt", b"caption")
        (tmp_path / "pool" / "0_stats.json").write_bytes(b"{}")
        return tmp_path / "pool"

    def test_only_a_manifest_is_added(self, folder: Path) -> None:
        before = content(folder)
        report = import_webdataset(ImportWebdatasetConfig(directory=folder, name="pool"))
        after = content(folder)
        assert after.pop("manifest.json")
        assert after == before
        assert (report.kind, report.num_shards, report.num_samples) == (Kind.IMAGE_TEXT, 3, 9)
        dataset = open_dataset(folder, Kind.IMAGE_TEXT)
        assert [shard.path for shard in dataset.manifest.shards] == ["0.tar", "2.tar", "10.tar"]
        assert check_shards(dataset).is_good
        assert report.statistics == {"caption_characters": 63, "images_jpg": 9}
        assert [sample["__key__"] for sample in to_webdataset(dataset)][:4] == ["0-0", "0-1", "0-2", "2-0"]

    def test_workers_and_places_do_not_change_the_manifest(self, folder: Path, tmp_path: Path) -> None:
        shutil.copytree(folder, tmp_path / "elsewhere")
        one = import_webdataset(ImportWebdatasetConfig(directory=folder, name="pool"))
        two = import_webdataset(ImportWebdatasetConfig(directory=tmp_path / "elsewhere", name="pool", num_workers=2))
        assert one.digest == two.digest

    def test_a_second_run_does_no_work(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        config = ImportWebdatasetConfig(directory=folder, name="pool")
        first = import_webdataset(config)
        monkeypatch.setattr("oqvl_shards.importers.webdataset.survey_tar", None)
        assert import_webdataset(config) == first

    @pytest.mark.parametrize("change", ["new.tar", "0.tar"])
    def test_a_changed_folder_is_an_error(self, folder: Path, change: str) -> None:
        config = ImportWebdatasetConfig(directory=folder, name="pool")
        import_webdataset(config)
        with TarWriter(folder / change):
            pass
        with pytest.raises(ConfigError, match=rf"1 tar\(s\) differ from its manifest, the first is {change}"):
            import_webdataset(config)

    def test_another_configuration_is_an_error(self, folder: Path) -> None:
        import_webdataset(ImportWebdatasetConfig(directory=folder, name="pool"))
        with pytest.raises(ConfigError, match=r"already holds the output .* made with other values of name"):
            import_webdataset(ImportWebdatasetConfig(directory=folder, name="other"))

    def test_damaged_shards(self, folder: Path) -> None:
        (folder / "2.tar").write_bytes((folder / "2.tar").read_bytes()[:1000])
        with pytest.raises(DataError, match=r"1 of 3 shards are damaged: 2\.tar"):
            import_webdataset(ImportWebdatasetConfig(directory=folder, name="pool"))
        assert not (folder / "manifest.json").exists()
        config = ImportWebdatasetConfig.from_values(
            {"directory": folder, "name": "pool", "damaged_shards": "leave_out"}
        )
        report = import_webdataset(config)
        assert report.num_shards == 2
        assert report.account.rejected == {"damaged_shard": 1}
        assert check_shards(open_dataset(folder)).is_good
        assert import_webdataset(config) == report

    def test_a_shard_that_was_left_out_without_a_whole_sample_does_not_count_as_new(self, folder: Path) -> None:
        (folder / "2.tar").write_bytes(b"")
        config = ImportWebdatasetConfig(directory=folder, name="pool", damaged_shards=DamagedShards.LEAVE_OUT)
        report = import_webdataset(config)
        assert report.account.rejected == {"damaged_shard": 0}
        assert import_webdataset(config) == report

    def test_salvaged_shards(self, folder: Path) -> None:
        (folder / "2.tar").write_bytes((folder / "2.tar").read_bytes()[:-1024])
        import_webdataset(ImportWebdatasetConfig(directory=folder, name="pool", damaged_shards=DamagedShards.SALVAGE))
        dataset = open_dataset(folder)
        assert [shard.known_damage for shard in dataset.manifest.shards] == [None, "missing_end", None]
        assert check_shards(dataset).is_good
        (folder / "0.tar").write_bytes((folder / "0.tar").read_bytes()[:-1024])
        assert not check_shards(dataset).is_good


class TestLlava:
    @pytest.fixture
    def source(self, tmp_path: Path, jpg: bytes) -> Path:
        (tmp_path / "images").mkdir()
        (tmp_path / "images" / "a.jpg").write_bytes(jpg)
        turns = [{"from": "human", "value": "<image> What?"}, {"from": "gpt", "value": "A field."}]
        records = [{"id": i, "image": "a.jpg", "conversations": turns} for i in range(5)]
        records[3]["image"] = "../a.jpg"
        (tmp_path / "data.json").write_text(json.dumps(records), encoding="utf-8")
        (tmp_path / "data.jsonl").write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
        return tmp_path

    def config(self, source: Path, output: str = "out", **changes: object) -> ImportLlavaConfig:
        values = {
            "annotations": source / "data.json",
            "images": source / "images",
            "output": source / output,
            "name": "instructions",
            "records_per_shard": 2,
        }
        return ImportLlavaConfig.from_values(values | changes)

    def test_conversations_become_a_dataset(self, source: Path, jpg: bytes) -> None:
        report = import_llava(self.config(source))
        assert report.account.model_dump() == {"num_in": 5, "num_kept": 4, "rejected": {"unsafe_path": 1}}
        dataset = open_dataset(source / "out", Kind.CONVERSATION)
        assert check_shards(dataset).is_good
        assert [shard.num_samples for shard in dataset.manifest.shards] == [2, 1, 1]
        with ShardReader(dataset.shard_path(dataset.manifest.shards[0])) as reader:
            assert reader.json(reader.samples[0])["conversations"][1] == {"from": "gpt", "value": "A field."}
            assert reader.image(reader.samples[0]) == ("jpg", jpg)
        samples = list(to_webdataset(dataset))
        assert [sample["__key__"] for sample in samples] == ["000000000", "000000001", "000000002", "000000004"]
        assert set(samples[0]) == {"__key__", "__url__", "json", "0.jpg"}

    def test_json_and_jsonl_and_any_number_of_workers_give_the_same_shards(self, source: Path) -> None:
        import_llava(self.config(source, "one"))
        import_llava(self.config(source, "two", num_workers=2))
        import_llava(self.config(source, "three", annotations=source / "data.jsonl"))
        one, two, three = (content(source / name) for name in ("one", "two", "three"))
        assert one == two
        assert sorted(one) == ["manifest.json", "shard-00000.tar", "shard-00001.tar", "shard-00002.tar"]
        del one["manifest.json"], three["manifest.json"]
        assert one == three

    def test_a_killed_import_resumes_with_the_same_bytes(self, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        import_llava(self.config(source, "whole"))
        with monkeypatch.context() as patch:
            patch.setattr(
                "oqvl_shards.stage_output.write_manifest", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
            )
            with pytest.raises(KeyboardInterrupt):
                import_llava(self.config(source, "killed"))
        assert not (source / "killed" / "manifest.json").exists()
        (source / "killed" / "shard-00001.tar").unlink()
        kept = (source / "killed" / "shard-00000.tar").stat().st_mtime_ns
        import_llava(self.config(source, "killed"))
        assert (source / "killed" / "shard-00000.tar").stat().st_mtime_ns == kept
        assert content(source / "killed") == content(source / "whole")

    def test_an_import_killed_after_its_manifest_leaves_no_receipts(
        self, source: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(
                "oqvl_shards.stage_output.remove_receipts", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
            )
            with pytest.raises(KeyboardInterrupt):
                import_llava(self.config(source))
        assert (source / "out" / "shard-00000.tar.receipt").exists()
        import_llava(self.config(source))
        assert not list((source / "out").glob("*.receipt"))

    def test_other_annotations_are_another_step(self, source: Path) -> None:
        import_llava(self.config(source))
        (source / "data.json").write_text("[{}]", encoding="utf-8")
        with pytest.raises(ConfigError, match=r"already holds the output .* made with other values of source_sha256"):
            import_llava(self.config(source))

    def test_a_recipe_can_pin_its_source(self, source: Path) -> None:
        found = import_llava(self.config(source)).path
        digest = open_dataset(found).manifest.lineage.config["source_sha256"]
        assert import_llava(self.config(source, source_sha256=digest)).path == found
        with pytest.raises(ConfigError, match=f"the source has {digest}, expected {'0' * 64}"):
            import_llava(self.config(source, source_sha256="0" * 64))

    def test_shards_without_a_sample_are_left_out(self, source: Path) -> None:
        records = json.loads((source / "data.json").read_text(encoding="utf-8"))
        (source / "data.json").write_text(json.dumps([{}, {}, records[0]]), encoding="utf-8")
        report = import_llava(self.config(source))
        assert report.account.rejected == {"bad_conversation": 2}
        assert sorted(content(source / "out")) == ["manifest.json", "shard-00001.tar"]

    def test_nothing_usable_is_an_error_that_a_corrected_run_recovers_from(self, source: Path) -> None:
        (source / "empty").mkdir()
        with pytest.raises(DataError, match=r"none of 5 records .* \(missing_image: 4, unsafe_path: 1\)"):
            import_llava(self.config(source, images=source / "empty"))
        assert import_llava(self.config(source)).num_samples == 4

    def test_missing_inputs_are_named(self, source: Path) -> None:
        with pytest.raises(ConfigError, match=r"no file at .*absent\.json"):
            import_llava(self.config(source, annotations=source / "absent.json"))
        with pytest.raises(ConfigError, match=r"no directory at .*absent"):
            import_llava(self.config(source, images=source / "absent"))


class TestObelics:
    @pytest.fixture
    def source(self, tmp_path: Path, jpg: bytes) -> Path:
        encoded = base64.b64encode(jpg).decode()
        documents = [
            {"texts": [f"text {i}", None, "more"], "image_info": [None, {"image_base64": encoded}, None]}
            for i in range(3)
        ]
        with TarWriter(tmp_path / "source" / "0.tar") as tar:
            for number, document in enumerate(documents):
                tar.add(f"{number}.json", json.dumps(document).encode())
        lines = [json.dumps(document) for document in [*documents, {"texts": []}]]
        (tmp_path / "source" / "1.jsonl").write_text("\n".join(lines), encoding="utf-8")
        return tmp_path

    def config(self, source: Path, output: str = "out", **changes: object) -> ImportObelicsConfig:
        values = {"source": source / "source", "output": source / output, "name": "web", "records_per_shard": 2}
        return ImportObelicsConfig.from_values(values | changes)

    def test_documents_become_a_dataset(self, source: Path, jpg: bytes) -> None:
        report = import_obelics(self.config(source))
        assert report.account.model_dump() == {"num_in": 7, "num_kept": 6, "rejected": {"misaligned": 1}}
        assert report.statistics == {"images_jpg": 6, "text_characters": 60}
        dataset = open_dataset(source / "out", Kind.INTERLEAVED)
        assert check_shards(dataset).is_good
        with ShardReader(dataset.shard_path(dataset.manifest.shards[0])) as reader:
            sample = reader.samples[0]
            assert reader.json(sample) == {"texts": ["text 0", None, "more"], "images": [None, "0.jpg", None]}
            member = sample.member("0.jpg")
            assert member is not None
            assert reader.read(member) == jpg

    def test_any_number_of_workers_gives_the_same_bytes(self, source: Path) -> None:
        import_obelics(self.config(source, "one"))
        import_obelics(self.config(source, "two", num_workers=2))
        assert content(source / "one") == content(source / "two")

    def test_a_second_run_does_no_work(self, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        first = import_obelics(self.config(source))
        monkeypatch.setattr("oqvl_shards.run.find_records", None)
        assert import_obelics(self.config(source)) == first

    def test_a_document_above_the_limit_is_rejected(self, source: Path) -> None:
        (source / "source" / "1.jsonl").write_text(json.dumps({"texts": "x" * 10_000}), encoding="utf-8")
        report = import_obelics(self.config(source, max_record_bytes=5000))
        assert report.account.rejected == {"json_too_large": 1}

    def test_a_damaged_tar_is_named(self, source: Path) -> None:
        path = source / "source" / "0.tar"
        path.write_bytes(path.read_bytes()[:700])
        with pytest.raises(DataError, match=r"0\.tar: truncated_member"):
            import_obelics(self.config(source))
