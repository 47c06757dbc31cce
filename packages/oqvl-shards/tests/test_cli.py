import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from oqvl_shards import cli
from oqvl_shards.dataset import open_dataset
from oqvl_shards.tar.writer import TarWriter

CONVERSION = ["source_sha256", "records_per_shard"]
WORKERS = ["num_workers", "engine"]


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    with TarWriter(tmp_path / "pool" / "0.tar") as tar:
        for key in ("a", "b"):
            tar.add(f"{key}.txt", b"caption")
            tar.add(f"{key}.jpg", b"not really an image")
    return tmp_path / "pool"


class Result:
    def __init__(self, code: object, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Call the command line in this process; return its exit code and what it printed."""

    def call(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["oqvl-shards", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        return Result(caught.value.code, *capsys.readouterr())

    return call


def test_import_show_verify_lineage_head(run, pool: Path, tmp_path: Path) -> None:
    imported = run("import", "webdataset", f"directory={pool}", "name=pool", "--json")
    assert imported.code == 0
    assert json.loads(imported.out)["num_samples"] == 2

    table = run("show", pool)
    assert table.code == 0
    assert "  kind                image_text\n" in table.out
    assert run("show", pool, "--json").out == imported.out

    verified = run("check", pool)
    assert (verified.code, verified.out) == (0, "pool: 1 shards, 2 samples, 5,120 bytes: good\n")
    assert json.loads(run("check", pool, "--json").out)["problems"] == []

    digest = open_dataset(pool).manifest.digest()
    assert run("lineage", pool).out == f"pool  image_text  oqvl-shards import webdataset 0.1.0  {digest[:12]}\n"
    assert json.loads(run("lineage", pool, "--json").out)["tool"] == "oqvl-shards import webdataset"

    sheet = run("head", pool, "-n", 1, "-o", tmp_path / "sheet.png")
    assert sheet.code == 0
    with Image.open(tmp_path / "sheet.png") as image:
        assert f"({image.width} x {image.height} pixels)" in sheet.out


def test_a_recipe_and_overrides(run, pool: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(f'directory = "{pool}"\nname = "from file"\n', encoding="utf-8")
    assert run("import", "webdataset", "-c", recipe, "name=overridden").code == 0
    assert open_dataset(pool).manifest.name == "overridden"


def test_schema_is_json_schema(run) -> None:
    result = run("schema")
    assert result.code == 0
    assert json.loads(result.out)["title"] == "Manifest"


@pytest.mark.parametrize("command", [[], ["import"]])
def test_no_arguments_show_the_help(run, command: list[str]) -> None:
    result = run(*command)
    assert "[OPTIONS] COMMAND [ARGS]..." in result.out + result.err


@pytest.mark.parametrize(
    ("command", "keys"),
    [
        ("webdataset", ["name", "directory", "damaged_shards", *WORKERS]),
        ("llava", ["name", "output", "annotations", "images", *CONVERSION, *WORKERS]),
        ("obelics", ["name", "output", "source", *CONVERSION, "max_record_bytes", *WORKERS]),
    ],
)
def test_help_lists_every_field(run, command: str, keys: list[str]) -> None:
    result = run("import", command, "--help")
    assert result.code == 0
    lines = result.out.splitlines()
    assert [
        line.split()[0] for line in lines[lines.index("  Fields:") + 1 :] if line.startswith("    ") and line[4] != " "
    ] == keys


@pytest.mark.parametrize(
    ("arguments", "code", "message", "hint"),
    [
        (["show", "{tmp}/absent"], 3, "absent is not a directory", "oqvl-shards import"),
        (["show", "{tmp}"], 3, "has no manifest.json", "oqvl-shards import"),
        (["check", "{tmp}/absent"], 3, "absent is not a directory", "oqvl-shards import"),
        (["import", "webdataset"], 3, "directory: is required but not set", ""),
        (["import", "webdataset", "directory={tmp}/absent", "name=x"], 3, "no directory at", "check the path"),
        (["import", "webdataset", "directory={tmp}/empty", "name=x"], 3, "holds no .tar file", "img2dataset"),
        (
            ["import", "webdataset", "directory={pool}", "name=x", "nam=y"],
            3,
            "nam: no such field; found 'y'; did you mean name?",
            "",
        ),
        (["import", "webdataset", "directory={pool}", "name"], 3, "'name' is not of the form key=value", "for example"),
        (["import", "webdataset", "-c", "{tmp}/absent.toml"], 3, "no configuration file at", "check the path"),
        (
            ["import", "llava", "annotations={tmp}/a", "images={tmp}", "output={tmp}/o", "name=x"],
            3,
            "no file at",
            "",
        ),
        (["import", "obelics", "source={tmp}/absent", "output={tmp}/o", "name=x"], 3, "no file or directory at", ""),
        (["head", "{tmp}/absent", "-o", "{tmp}/x.png"], 3, "absent is not a directory", ""),
        (["show"], 2, "Missing argument", ""),
        (["head", "{pool}"], 2, "Missing option", ""),
        (["unknown"], 2, "No such command", ""),
    ],
)
def test_a_new_users_mistakes(
    run, pool: Path, tmp_path: Path, arguments: list[str], code: int, message: str, hint: str
) -> None:
    (tmp_path / "empty").mkdir()
    result = run(*[argument.format(tmp=tmp_path, pool=pool) for argument in arguments])
    assert result.code == code
    assert message in result.err
    assert hint in result.err
    assert "Traceback" not in result.err


def test_a_damaged_dataset(run, pool: Path) -> None:
    run("import", "webdataset", f"directory={pool}", "name=pool")
    shard = pool / "0.tar"
    shard.write_bytes(shard.read_bytes()[:-1] + b"x")
    result = run("check", pool)
    assert result.code == 5
    assert "0.tar: sha256" in result.err
    assert "hint: " in result.err
    as_json = run("check", pool, "--json")
    assert as_json.code == 5
    assert json.loads(as_json.out)["problems"][0]["shard"] == "0.tar"
    shard.unlink()
    assert "0.tar: missing" in run("check", pool).err


def test_a_kind_without_pictures_has_no_contact_sheet(run, pool: Path, tmp_path: Path) -> None:
    run("import", "webdataset", f"directory={pool}", "name=pool")
    text = (pool / "manifest.json").read_text(encoding="utf-8")
    details = '"details": {\n    "kind": "benchmark",\n    "task": "x"\n  }'
    (pool / "manifest.json").write_text(
        text.replace('"details": {\n    "kind": "image_text"\n  }', details), encoding="utf-8"
    )
    result = run("head", pool, "-o", tmp_path / "x.png")
    assert result.code == 3
    assert "is of kind benchmark, expected image_text or conversation or interleaved or packed" in result.err
    assert not (tmp_path / "x.png").exists()


def test_the_installed_command_answers() -> None:
    result = subprocess.run(
        [sys.executable, "-c", "from oqvl_shards.cli import main; main()", "--help"], capture_output=True, text=True
    )
    assert result.returncode == 0
    assert "import" in result.stdout
