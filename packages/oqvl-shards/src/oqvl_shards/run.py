"""The imports, step by step: a foreign layout comes in, a dataset with a manifest comes out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

from oqvl_shards.dataset import Dataset, describe_file
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
)
from oqvl_shards.receipt import Receipt
from oqvl_shards.report import DatasetReport
from oqvl_shards.shard_map import map_shards
from oqvl_shards.stage_output import StageOutput, stage_output


def import_webdataset(config: ImportWebdatasetConfig) -> DatasetReport:
    """Write the manifest of a folder of WebDataset tars into the folder. The tars are not changed.

    Raises:
        ConfigError: If the folder holds no tars, or a manifest with other settings or for other tars.
        DataError: If a shard is damaged or cannot be read.
    """
    tars = webdataset.find_tars(config.directory)
    with stage_output("oqvl-shards import webdataset", config.directory, config, in_place=True) as output:
        if output.dataset is not None:
            _check_unchanged(output.dataset, tars)
            return DatasetReport.of(output.dataset)
        surveys = map_shards(
            partial(webdataset.survey_tar, directory=config.directory),
            tars,
            **config.workers,
            description="import webdataset",
        )
        used, account = webdataset.settle_damage(surveys, config.damaged_shards)
        output.finish(
            name=config.name,
            details=ImageTextDetails(),
            shards=[survey.shard for survey in used],
            account=account,
            fields=webdataset.FIELDS,
            statistics=_total(survey.statistics for survey in used),
        )
    return DatasetReport.of(output.finished())


def import_llava(config: ImportLlavaConfig) -> DatasetReport:
    """Convert conversations in LLaVA's layout into shards of kind `conversation`. Image files are copied unchanged.

    Raises:
        ConfigError: If the annotations or the image folder are missing, or the output was made with other settings.
        DataError: If the annotations are cut, or no record can be used.
    """
    if not config.annotations.is_file():
        raise ConfigError(f"no file at {config.annotations}", hint="check annotations=")
    if not config.images.is_dir():
        raise ConfigError(f"no directory at {config.images}", hint="check images=")
    source = describe_file(config.annotations, config.annotations.parent, 0).sha256
    with stage_output("oqvl-shards import llava", config.output, config.pinned(source)) as output:
        if output.dataset is None:
            receipts = convert_records(
                plan_jobs([find_records(config.annotations)], config.records_per_shard),
                partial(llava.convert_conversation, folder=config.images),
                directory=config.output,
                step=output.step,
                max_record_bytes=llava.LIMITS.max_json_bytes,
                workers=config.workers,
                description="import llava",
            )
            require_samples(receipts, config.output, config.annotations)
            _finish(output, config, ConversationDetails(), llava.FIELDS, receipts)
    return DatasetReport.of(output.finished())


def import_obelics(config: ImportObelicsConfig) -> DatasetReport:
    """Convert OBELICS documents into shards of kind `interleaved`. Images are decoded from base64, and not re-encoded.

    Raises:
        ConfigError: If the source is missing, or the output was made with other settings.
        DataError: If a source file is damaged, or no document can be used.
    """
    files = obelics.find_sources(config.source)
    pinned = config.pinned(obelics.sources_digest(files, config.source))
    with stage_output("oqvl-shards import obelics", config.output, pinned) as output:
        if output.dataset is None:
            records = map_shards(find_records, files, **config.workers, description="index", unit="file")
            receipts = convert_records(
                plan_jobs(records, config.records_per_shard),
                obelics.convert_document,
                directory=config.output,
                step=output.step,
                max_record_bytes=config.max_record_bytes,
                workers=config.workers,
                description="import obelics",
            )
            require_samples(receipts, config.output, config.source)
            _finish(output, config, InterleavedDetails(), obelics.FIELDS, receipts)
    return DatasetReport.of(output.finished())


def import_packed_json(config: ImportPackedJsonConfig) -> DatasetReport:
    """Split Open-Qwen2VL's packed JSON into the samples that were packed. Images are not re-encoded.

    Raises:
        ConfigError: If the source is missing or holds pickles, or the output was made with other settings.
        DataError: If a pack is malformed, or no sample can be used.
    """
    files = packed_json.find_packs(config.source)
    pinned = config.pinned(obelics.sources_digest(files, config.source))
    with stage_output("oqvl-shards import packed-json", config.output, pinned) as output:
        if output.dataset is None:
            find = partial(find_nested_records, field="data")
            records = map_shards(find, files, **config.workers, description="index", unit="file")
            is_caption = config.kind == "image_text"
            receipts = convert_records(
                plan_joined_jobs(records, config.records_per_shard),
                packed_json.convert_caption if is_caption else obelics.convert_document,
                directory=config.output,
                step=output.step,
                max_record_bytes=config.max_record_bytes,
                workers=config.workers,
                description="import packed-json",
            )
            require_samples(receipts, config.output, config.source)
            details = ImageTextDetails() if is_caption else InterleavedDetails()
            fields = packed_json.FIELDS if is_caption else obelics.FIELDS
            _finish(output, config, details, fields, receipts)
    return DatasetReport.of(output.finished())


def _finish(
    output: StageOutput,
    config: ConversionConfig,
    details: Details,
    fields: Sequence[FieldSpec],
    receipts: Sequence[Receipt],
) -> None:
    """Finish a conversion. Remove shards without samples; the account still covers their records."""
    remove_empty_shards(receipts, config.output)
    output.finish(
        name=config.name,
        details=details,
        shards=[receipt for receipt in receipts if receipt.shard.num_samples],
        account=Account.total(receipt.account for receipt in receipts),
        fields=fields,
        statistics=_total(receipt.statistics for receipt in receipts),
    )


def _total(statistics: Iterable[Mapping[str, int]]) -> dict[str, int | float | str]:
    total: Counter[str] = Counter()
    for counts in statistics:
        total.update(counts)
    return {name: total[name] for name in sorted(total)}


def _check_unchanged(dataset: Dataset, tars: Sequence[Path]) -> None:
    """Compare the sizes of the tars in a folder with its manifest.

    A tar that is not in the manifest counts as changed, unless the import left out damaged tars.

    Raises:
        ConfigError: If a tar was added, removed or changed.
    """
    expected = {dataset.path / shard.path: shard.num_bytes for shard in dataset.manifest.shards}
    sizes = {path: path.stat().st_size for path in tars}
    has_left_out = webdataset.DAMAGED_SHARD in dataset.manifest.account.rejected
    changed = [path for path in expected if sizes.get(path) != expected[path]]
    changed += [path for path in sizes if path not in expected and not has_left_out]
    if changed:
        raise ConfigError(
            f"{dataset.path}: {len(changed)} tar(s) differ from its manifest, the first is {changed[0].name}",
            hint="delete manifest.json there to import again",
        )
