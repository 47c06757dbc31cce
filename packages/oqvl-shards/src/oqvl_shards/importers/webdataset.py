"""WebDataset tars as img2dataset and DataComp write them. They are surveyed in place; nothing is copied."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from oqvl_shards.config import Frozen
from oqvl_shards.dataset import describe_file
from oqvl_shards.errors import ConfigError, DataError
from oqvl_shards.importers.config import DamagedShards
from oqvl_shards.manifest import Account, FieldSpec, Shard
from oqvl_shards.natural_order import natural_key
from oqvl_shards.tar.index import TarDamage
from oqvl_shards.tar.reader import ShardReader
from oqvl_shards.tar.sample import RejectReason, Sample, SampleError, member_type

FIELDS = (
    FieldSpec(name="image", dtype="image", description="one jpg, jpeg, png or webp member, as it was downloaded"),
    FieldSpec(name="text", dtype="text", description="the caption: the txt member, else `caption` in the json member"),
    FieldSpec(name="json", dtype="json", description="what the source says about the sample; may be absent"),
)


DAMAGED_SHARD = "damaged_shard"
"""The reason for rejecting the samples of a shard that was left out."""


class ShardSurvey(Frozen):
    """The content of one tar."""

    shard: Shard
    damage: TarDamage | None
    account: Account
    statistics: dict[str, int]


def find_tars(directory: Path) -> list[Path]:
    """Return the tars in `directory` and below it, in natural order of their paths. Their numbers may have gaps.

    Raises:
        ConfigError: If there is no such directory, or no tar in it.
    """
    if not directory.is_dir():
        raise ConfigError(f"no directory at {directory}", hint="check the path")
    tars = sorted(directory.rglob("*.tar"), key=lambda path: natural_key(path.relative_to(directory).as_posix()))
    if not tars:
        raise ConfigError(f"{directory} holds no .tar file", hint="give the folder that img2dataset wrote")
    return tars


def survey_tar(path: Path, directory: Path) -> ShardSurvey:
    """Count the samples of the tar at `path` and what they hold. The file is read a second time for its sha256.

    Every sample that the reader accepts is kept. The file is not changed, so a sample whose caption or image is missing
    or blank stays in it. The statistics count it under `unusable_{reason}`, and the stage that needs it rejects it.

    Raises:
        DataError: If the file cannot be read.
    """
    statistics: Counter[str] = Counter()
    name = path.relative_to(directory).as_posix()
    with ShardReader(path, name=name) as reader:
        rejected = Counter(str(reject.reason) for reject in reader.rejects)
        for sample in reader.samples:
            statistics.update(_count(sample, reader))
        account = Account(
            num_in=len(reader.samples) + len(reader.rejects),
            num_kept=len(reader.samples),
            rejected=dict(sorted(rejected.items())),
        )
        damage = reader.index.damage
        shard = describe_file(path, directory, len(reader.samples)).model_copy(update={"known_damage": damage})
        return ShardSurvey(shard=shard, damage=reader.index.damage, account=account, statistics=statistics)


def settle_damage(surveys: list[ShardSurvey], policy: DamagedShards) -> tuple[list[ShardSurvey], Account]:
    """Apply `policy` to the damaged shards.

    Returns:
        The surveys of the shards to use, and the account of all shards.

    Raises:
        DataError: If a shard is damaged and `policy` is `fail`, or no shard can be used.
    """
    damaged = [survey for survey in surveys if survey.damage is not None]
    used = surveys if policy is DamagedShards.SALVAGE else [survey for survey in surveys if survey.damage is None]
    if damaged and (policy is DamagedShards.FAIL or not used):
        named = ", ".join(f"{survey.shard.path} ({survey.damage})" for survey in damaged[:5])
        raise DataError(
            f"{len(damaged)} of {len(surveys)} shards are damaged: {named}{', ...' if len(damaged) > 5 else ''}",
            hint="fetch them again, continue without them (damaged_shards=leave_out), or use their whole samples "
            "(damaged_shards=salvage)",
        )
    lost = [
        Account(num_in=survey.account.num_in, num_kept=0, rejected={DAMAGED_SHARD: survey.account.num_in})
        for survey in surveys
        if survey not in used
    ]
    return used, Account.total([*(survey.account for survey in used), *lost])


def _count(sample: Sample, reader: ShardReader) -> Counter[str]:
    """Return what one sample adds to the statistics: its image types, its caption, and why it may be unusable."""
    counts = Counter(f"images_{member_type(member.name)}" for member in sample.image_members)
    if len(sample.image_members) != 1:
        reason = RejectReason.MANY_IMAGES if sample.image_members else RejectReason.NO_IMAGE
        counts[f"unusable_{reason}"] += 1
    try:
        counts["caption_characters"] += len(reader.text(sample))
    except SampleError as error:
        counts[f"unusable_{error.reason}"] += 1
    return counts
