"""The import steps: a foreign layout in, a dataset with a manifest out, step by step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path

from oqvl_shards.config import StageConfig
from oqvl_shards.dataset import Dataset, describe_file, write_manifest
from oqvl_shards.errors import ConfigError
from oqvl_shards.importers import llava, obelics, packed_json, webdataset
from oqvl_shards.importers.config import (
    ConversionConfig,
    ImportLlavaConfig,
    ImportObelicsConfig,
    ImportPackedJsonConfig,
    ImportWebdatasetConfig,
)
from oqvl_shards.importers.conversion import (
    convert_records,
    plan_jobs,
    plan_joined_jobs,
    remove_empty_shards,
    require_samples,
)
from oqvl_shards.importers.json_records import find_nested_records, find_records
from oqvl_shards.manifest import (
    Account,
    ConversationDetails,
    Details,
    FieldSpec,
    ImageTextDetails,
    InterleavedDetails,
    Lineage,
    Manifest,
)
from oqvl_shards.receipt import Receipt, remove_receipts, step_digest
from oqvl_shards.report import DatasetReport
from oqvl_shards.shard_map import map_shards
from oqvl_shards.stage_output import finished_output


def import_webdataset(config: ImportWebdatasetConfig) -> DatasetReport:
    """Write the manifest of a folder of WebDataset tars into it; the tars stay as they are.

    Raises:
        ConfigError: When the folder holds no tars, or its manifest was made otherwise or for other tars.
        DataError: When a shard is damaged or cannot be read.
    """
    lineage = _lineage("import webdataset", config)
    tars = webdataset.find_tars(config.directory)
    finished = finished_output(config.directory, lineage, in_place=True)
    if finished is not None:
        _check_unchanged(finished, tars)
        return DatasetReport.of(finished)
    surveys = map_shards(
        partial(webdataset.survey_tar, directory=config.directory),
        tars,
        **config.workers,
        description="import webdataset",
    )
    used, account = webdataset.settle_damage(surveys, config.damaged_shards)
    manifest = Manifest(
        name=config.name,
        details=ImageTextDetails(),
        shards=tuple(survey.shard for survey in used),
        fields=webdataset.FIELDS,
        account=account,
        statistics=_total(survey.statistics for survey in used),
        lineage=lineage,
    )
    return DatasetReport.of(write_manifest(config.directory, manifest))


def import_llava(config: ImportLlavaConfig) -> DatasetReport:
    """Convert conversations in LLaVA's layout into shards of kind `conversation`; image files are copied untouched.

    Raises:
        ConfigError: When the annotations or the image folder are not there, or the output was made otherwise.
        DataError: When the annotations are cut, or none of the records can be used.
    """
    if not config.annotations.is_file():
        raise ConfigError(f"no file at {config.annotations}", hint="check annotations=")
    if not config.images.is_dir():
        raise ConfigError(f"no directory at {config.images}", hint="check images=")
    source = describe_file(config.annotations, config.annotations.parent, 0).sha256
    lineage = _lineage("import llava", config.pinned(source))
    dataset = finished_output(config.output, lineage)
    if dataset is None:
        receipts = convert_records(
            plan_jobs([find_records(config.annotations)], config.records_per_shard),
            partial(llava.convert_conversation, folder=config.images),
            directory=config.output,
            step=step_digest(lineage),
            max_record_bytes=llava.LIMITS.max_json_bytes,
            workers=config.workers,
            description="import llava",
        )
        require_samples(receipts, config.output, config.annotations)
        dataset = _seal(config, ConversationDetails(), llava.FIELDS, receipts, lineage)
    remove_receipts(config.output)
    return DatasetReport.of(dataset)


def import_obelics(config: ImportObelicsConfig) -> DatasetReport:
    """Convert OBELICS documents into shards of kind `interleaved`; their images leave base64 and are not re-encoded.

    Raises:
        ConfigError: When the source is not there, or the output was made otherwise.
        DataError: When a source file is damaged, or none of the documents can be used.
    """
    files = obelics.find_sources(config.source)
    lineage = _lineage("import obelics", config.pinned(obelics.sources_digest(files, config.source)))
    dataset = finished_output(config.output, lineage)
    if dataset is None:
        records = map_shards(find_records, files, **config.workers, description="index", unit="file")
        receipts = convert_records(
            plan_jobs(records, config.records_per_shard),
            obelics.convert_document,
            directory=config.output,
            step=step_digest(lineage),
            max_record_bytes=config.max_record_bytes,
            workers=config.workers,
            description="import obelics",
        )
        require_samples(receipts, config.output, config.source)
        dataset = _seal(config, InterleavedDetails(), obelics.FIELDS, receipts, lineage)
    remove_receipts(config.output)
    return DatasetReport.of(dataset)


def import_packed_json(config: ImportPackedJsonConfig) -> DatasetReport:
    """Take Open-Qwen2VL's packed JSON apart into the samples that were packed; images leave base64, not re-encoded.

    Raises:
        ConfigError: When the source is not there, holds pickles, or the output was made otherwise.
        DataError: When a pack is malformed, or none of the samples can be used.
    """
    files = packed_json.find_packs(config.source)
    lineage = _lineage("import packed-json", config.pinned(obelics.sources_digest(files, config.source)))
    dataset = finished_output(config.output, lineage)
    if dataset is None:
        find = partial(find_nested_records, field="data")
        records = map_shards(find, files, **config.workers, description="index", unit="file")
        is_caption = config.kind == "image_text"
        receipts = convert_records(
            plan_joined_jobs(records, config.records_per_shard),
            packed_json.convert_caption if is_caption else obelics.convert_document,
            directory=config.output,
            step=step_digest(lineage),
            max_record_bytes=config.max_record_bytes,
            workers=config.workers,
            description="import packed-json",
        )
        require_samples(receipts, config.output, config.source)
        details = ImageTextDetails() if is_caption else InterleavedDetails()
        fields = packed_json.FIELDS if is_caption else obelics.FIELDS
        dataset = _seal(config, details, fields, receipts, lineage)
    remove_receipts(config.output)
    return DatasetReport.of(dataset)


def _lineage(command: str, config: StageConfig) -> Lineage:
    return Lineage.derive(f"oqvl-shards {command}", version("oqvl-shards"), config)


def _seal(
    config: ConversionConfig,
    details: Details,
    fields: tuple[FieldSpec, ...],
    receipts: Sequence[Receipt],
    lineage: Lineage,
) -> Dataset:
    remove_empty_shards(receipts, config.output)
    manifest = Manifest(
        name=config.name,
        details=details,
        shards=tuple(receipt.shard for receipt in receipts if receipt.shard.num_samples),
        fields=fields,
        account=Account.total(receipt.account for receipt in receipts),
        statistics=_total(receipt.statistics for receipt in receipts),
        lineage=lineage,
    )
    return write_manifest(config.output, manifest)


def _total(statistics: Iterable[Mapping[str, int]]) -> dict[str, int | float | str]:
    total: Counter[str] = Counter()
    for counts in statistics:
        total.update(counts)
    return {name: total[name] for name in sorted(total)}


def _check_unchanged(dataset: Dataset, tars: Sequence[Path]) -> None:
    known = {dataset.path / shard.path: shard.num_bytes for shard in dataset.manifest.shards}
    found = {path: path.stat().st_size for path in tars}
    left_out = dataset.manifest.account.rejected.get(webdataset.DAMAGED_SHARD, 0)
    changed = [path for path in known if found.get(path) != known[path]]
    changed += [path for path in found if path not in known and not left_out]
    if changed:
        raise ConfigError(
            f"{dataset.path}: {len(changed)} tar(s) are not as its manifest says, the first is {changed[0].name}",
            hint="delete manifest.json there to import again",
        )
