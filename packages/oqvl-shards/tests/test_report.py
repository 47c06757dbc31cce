from pathlib import Path

import pytest

from oqvl_shards.config import StageConfig
from oqvl_shards.dataset import Dataset
from oqvl_shards.manifest import Account, FieldSpec, ImageTextDetails, Lineage, Manifest, PackedDetails
from oqvl_shards.report import DatasetReport, lineage_tree, readable_bytes


def make_manifest(name: str, parents: tuple[Manifest, ...] = (), tool: str = "oqvl-x make") -> Manifest:
    return Manifest(
        name=name,
        details=ImageTextDetails(),
        shards=(),
        fields=(FieldSpec(name="image", dtype="image", description="a picture"),),
        account=Account(num_in=1500, num_kept=1499, rejected={"no_text": 1}),
        statistics={"images_jpg": 12345, "mean": 0.5},
        lineage=Lineage.derive(tool, "1.0", StageConfig(), parents),
    )


def test_the_table_says_everything_in_groups() -> None:
    report = DatasetReport.of(Dataset(Path("some/where"), make_manifest("pool")))
    assert report.table().splitlines() == [
        "  dataset           pool (some/where)",
        "  kind              image_text",
        f"  digest            {make_manifest('pool').digest()}",
        "  made by           oqvl-x make 1.0",
        "  shards            0",
        "  samples           0",
        "  bytes             0 (0 B)",
        "fields",
        "  image             image: a picture",
        "account",
        "  in                1,500",
        "  kept              1,499",
        "  rejected no_text  1",
        "statistics",
        "  images_jpg        12,345",
        "  mean              0.5",
    ]


def test_details_are_shown_for_kinds_that_have_some() -> None:
    details = PackedDetails(
        bin_capacity=4096,
        visual_tokens_per_image=144,
        image_token_id=1,
        pad_token_id=0,
        vocab_size=10,
        tokenizer_sha256="0" * 64,
        num_documents=0,
        num_images=0,
        num_tokens=0,
        num_target_tokens=0,
        lower_bound=0,
    )
    manifest = make_manifest("packs").model_copy(update={"details": details})
    table = DatasetReport.of(Dataset(Path(), manifest)).table()
    assert "details\n" in table
    assert "bin_capacity" in table
    assert "4,096" in table


def test_a_report_survives_json() -> None:
    report = DatasetReport.of(Dataset(Path("here"), make_manifest("pool")))
    assert DatasetReport.model_validate_json(report.model_dump_json()) == report


def test_the_tree_draws_shared_ancestors_once() -> None:
    raw = make_manifest("raw", tool="oqvl-shards import webdataset")
    pool = make_manifest("pool", (raw,))
    scores = make_manifest("scores", (pool,))
    subset = make_manifest("subset", (scores,))
    kept = make_manifest("kept", (pool, subset))

    def line(manifest: Manifest) -> str:
        tool = f"{manifest.lineage.tool} {manifest.lineage.version}"
        return f"{manifest.name}  image_text  {tool}  {manifest.digest()[:12]}"

    assert lineage_tree(kept).splitlines() == [
        line(kept),
        f"├── {line(pool)}",
        f"│   └── {line(raw)}",
        f"└── {line(subset)}",
        f"    └── {line(scores)}",
        f"        └── {line(pool)}  (drawn above)",
    ]


def test_the_tree_names_a_parent_that_is_not_in_the_lineage() -> None:
    manifest = make_manifest("kept", (make_manifest("raw"),))
    bare = manifest.model_copy(update={"lineage": manifest.lineage.model_copy(update={"ancestors": ()})})
    assert lineage_tree(bare).splitlines()[1] == f"└── {manifest.lineage.parents[0][:12]}  (not in the lineage)"


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1 << 20, "1.0 MiB"),
        (3 << 29, "1.5 GiB"),
        (1 << 51, "2048.0 TiB"),
    ],
)
def test_bytes_are_readable(count: int, text: str) -> None:
    assert readable_bytes(count) == text
