"""The life of a stage's output: check whether it is finished, claim it, resume a killed run, finish it.

A stage is a function of its configuration and its input manifests, which together are its lineage. `stage_output`
compares the output directory with that lineage:

    manifest.json of the same lineage     finished: nothing to do
    manifest.json of another lineage      refused: nothing is ever overwritten
    a claim of a living process           refused; the message names its owner
    unfinished.json of the same lineage   left by a killed run of the same stage: resumed
    unfinished.json of another lineage    refused
    files without either                  refused: this stage did not write them
    nothing                               claimed, and marked with unfinished.json

A stage that only describes files in place (`in_place`) accepts files without either, and a mark of its own tool.

The stage then writes its shards and calls `StageOutput.finish`, which writes the manifest over exactly these shards and
removes all temporary files: receipts, scratch directories, partial files, the mark. If a run is killed between the
manifest and this removal, the next run removes them.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from importlib.metadata import version as distribution_version
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from oqvl_shards.atomic import PARTIAL_SUFFIX, atomic_write, remove_partials
from oqvl_shards.claim import CLAIM_NAME, claim
from oqvl_shards.config import StageConfig
from oqvl_shards.dataset import MANIFEST_NAME, UNFINISHED_NAME, Dataset, open_dataset, write_manifest
from oqvl_shards.errors import ConfigError, DataError, UsageError
from oqvl_shards.manifest import Account, Details, FieldSpec, Lineage, Manifest, Shard
from oqvl_shards.receipt import RECEIPT_SUFFIX, Receipt, remove_receipts


class StageOutput:
    """The output directory of one run of a stage; made by `stage_output`.

    Args:
        directory: The directory that the run claims and marks.
        lineage: The lineage of the output.
        dataset_directory: Where the dataset goes: the directory itself, or one below it.
        scratch: Names of directories below `directory` that are only needed during the work.
        in_place: Whether the stage describes files that are in the directory already.
    """

    def __init__(
        self,
        directory: Path,
        lineage: Lineage,
        *,
        dataset_directory: Path,
        scratch: Sequence[str] = (),
        in_place: bool = False,
    ) -> None:
        self.directory = directory
        self.lineage = lineage
        self.dataset_directory = dataset_directory
        self.dataset: Dataset | None = None
        """The finished dataset; None while the stage has work to do."""
        self._scratch = tuple(scratch)
        self._in_place = in_place
        self._is_marked = False

    @property
    def step(self) -> str:
        """The sha256 (64 hex digits) of the lineage: it differs for another version, configuration or input."""
        return hashlib.sha256(self.lineage.model_dump_json().encode()).hexdigest()

    def finished(self) -> Dataset:
        """Return the finished dataset.

        Raises:
            RuntimeError: Before `finish` was called, which is a bug of the stage.
        """
        if self.dataset is None:
            raise RuntimeError(f"the stage that writes {self.directory} has not finished it")
        return self.dataset

    def finish(
        self,
        *,
        name: str,
        details: Details,
        shards: Sequence[Shard | Receipt],
        account: Account | None = None,
        fields: Sequence[FieldSpec] = (),
        statistics: Mapping[str, int | float | str] | None = None,
    ) -> Dataset:
        """Write the manifest over the shards of this run, then remove the temporary files.

        Args:
            name: Name of the dataset.
            details: The details of this kind of dataset.
            shards: Its files, in reading order. A receipt stands for its shard, and proves that the bytes are those
                that the run wrote.
            account: What became of every sample. It can be left out only if every shard is given as a receipt. It is
                then the sum of their accounts.
            fields: What every sample holds.
            statistics: Figures about the content.

        Raises:
            DataError: If a shard's file is missing, or is not the one that this run wrote.
            UsageError: If `account` is left out, and a shard is not given as a receipt.
        """
        receipts = [shard for shard in shards if isinstance(shard, Receipt)]
        if account is None and len(receipts) < len(shards):
            raise UsageError(
                f"finish() was called without an account, but {len(shards) - len(receipts)} shards are not receipts",
                hint="say what became of every sample: account=Account(num_in=..., num_kept=...)",
            )
        for receipt in receipts:
            self._check_untouched(receipt)
        manifest = Manifest(
            name=name,
            details=details,
            shards=tuple(shard.shard if isinstance(shard, Receipt) else shard for shard in shards),
            fields=tuple(fields),
            account=account or Account.total(receipt.account for receipt in receipts),
            statistics=dict(statistics or {}),
            lineage=self.lineage,
        )
        self.dataset = write_manifest(self.dataset_directory, manifest)
        self._remove_leftovers()
        return self.dataset

    def _check_untouched(self, receipt: Receipt) -> None:
        path = self.dataset_directory / receipt.shard.path
        if not receipt.is_of(path):
            raise DataError(
                f"{path} is not the file that this run wrote: its sha256 is not {receipt.shard.sha256}",
                hint="another program writes to this directory; stop it, and run the same command again",
            )

    def _find(self) -> bool:
        """Return whether the output is finished. If so, keep its dataset.

        Raises:
            ConfigError: If another stage has finished it.
        """
        if not (self.dataset_directory / MANIFEST_NAME).exists():
            return False
        dataset = open_dataset(self.dataset_directory)
        _check_same_stage(self.dataset_directory, "the output", dataset.manifest.lineage, self.lineage)
        self.dataset = dataset
        return True

    def _begin(self) -> None:
        """Mark the claimed directory as this stage's, or resume a killed run of the stage.

        Raises:
            ConfigError: If the directory holds other files, or output of another stage, configuration or input.
        """
        mark = self.directory / UNFINISHED_NAME
        names = self._names()
        if names and mark.exists():
            hint = f"delete {mark if self._in_place else self.directory}, or choose another directory"
            self._check_begun(_read_mark(mark, hint))
            if not self._in_place:
                remove_partials(self.directory)
        elif names and not self._in_place:
            raise _foreign(self.directory, names)
        atomic_write(mark, self.lineage.model_dump_json().encode())
        self._is_marked = True

    def _check_begun(self, begun: Lineage) -> None:
        """Raise unless the unfinished output in the directory is this stage's.

        A run in place has written only its mark, so it may continue with other settings. The unfinished files of
        another tool must not pass for a complete dataset.
        """
        if not self._in_place:
            _check_same_stage(self.directory, "the unfinished output", begun, self.lineage)
        elif begun.tool != self.lineage.tool:
            raise ConfigError(
                f"{self.directory} holds the unfinished output of {begun.tool} {begun.version}",
                hint="run that command again to finish it, or choose another directory",
            )

    def _names(self) -> list[str]:
        """Return the names in the directory, except for the files of `stage_output` itself."""
        ours = (UNFINISHED_NAME, CLAIM_NAME)
        return sorted(path.name for path in self.directory.iterdir() if not path.name.startswith(ours))

    def _has_leftovers(self) -> bool:
        kept = (UNFINISHED_NAME, CLAIM_NAME, *self._scratch)
        return any((self.directory / name).exists() for name in kept) or any(
            self.dataset_directory.glob(f"*{RECEIPT_SUFFIX}")
        )

    def _remove_leftovers(self) -> None:
        remove_receipts(self.dataset_directory)
        for name in self._scratch:
            shutil.rmtree(self.directory / name, ignore_errors=True)
        if self._in_place:
            self._remove_own_partials()
        else:
            remove_partials(self.directory)
        (self.directory / UNFINISHED_NAME).unlink(missing_ok=True)

    def _remove_own_partials(self) -> None:
        """Remove partial files of the mark and the manifest, but no others."""
        for name in (UNFINISHED_NAME, MANIFEST_NAME):
            for path in self.directory.glob(f"{name}.*{PARTIAL_SUFFIX}"):
                path.unlink(missing_ok=True)

    def _withdraw(self, *, made_directory: bool) -> None:
        """Remove the mark of a run that failed before it wrote anything. A corrected run can then use the directory.

        The directory is removed too if the run created it.
        """
        # An error here would hide the run's own error. It means that the directory is gone, or that another run has
        # claimed it.
        with suppress(OSError):
            if self._is_marked and (self._in_place or not self._names()):
                (self.directory / UNFINISHED_NAME).unlink(missing_ok=True)
            if made_directory and not self._names():
                (self.directory / CLAIM_NAME).unlink(missing_ok=True)
                self.directory.rmdir()


@contextmanager
def stage_output(
    tool: str,
    directory: Path | str,
    config: StageConfig,
    *,
    parents: Sequence[Manifest] = (),
    pinned: Mapping[str, Any] | None = None,
    version: str = "",
    dataset: str = "",
    scratch: Sequence[str] = (),
    in_place: bool = False,
) -> Iterator[StageOutput]:
    """Open the output of a stage: finished, or claimed for this process alone while the block runs.

    Example:
        >>> def double(config: DoubleConfig) -> Dataset:
        ...     source = open_dataset(config.source, Kind.IMAGE_TEXT)
        ...     with stage_output("my-tools double", config.output, config, parents=[source.manifest]) as output:
        ...         if output.dataset is None:
        ...             receipts = map_shards(partial(double_shard, step=output.step), source.manifest.shards)
        ...             output.finish(name="doubled", details=ImageTextDetails(), shards=receipts)
        ...     return output.finished()

    Args:
        tool: Distribution and command, e.g. `oqvl-filter score`.
        directory: Where the stage writes.
        config: The configuration of the stage.
        parents: Manifests of the inputs, in order.
        pinned: Everything else that decides the output, as JSON values: digests of files whose paths the configuration
            names, the fingerprint of a model.
        version: Version of the tool. By default that of the installed distribution that `tool` names.
        dataset: Name of the directory below `directory` that the manifest is written to; `directory` itself by default.
        scratch: Names of directories below `directory` that are removed when the output is finished.
        in_place: Whether the stage describes files that are already in the directory. Any files may then be there.

    Raises:
        ConfigError: If the directory cannot be written, another run is writing it, or it holds something else.
        ManifestError: If the directory has a manifest that cannot be read.
    """
    directory = Path(directory)
    lineage = Lineage.derive(tool, version or distribution_version(tool.split()[0]), config, parents, pinned=pinned)
    output = StageOutput(directory, lineage, dataset_directory=directory / dataset, scratch=scratch, in_place=in_place)
    if output._find():
        _clean_finished(output)
        yield output
        return
    made_directory = not directory.exists()
    process = os.getpid()
    with ExitStack() as claimed:
        _claim(directory, tool, claimed)
        if output._find():  # another run finished it before we got the claim
            yield output
            return
        try:
            output._begin()
            yield output
        except BaseException:
            if os.getpid() == process:  # a forked child that leaves the block removes nothing
                output._withdraw(made_directory=made_directory)
            raise


def _claim(directory: Path, tool: str, until: ExitStack) -> None:
    """Make `directory` if it does not exist, and claim it for this process `until` the stack closes.

    Raises:
        ConfigError: If it cannot be written, or another run is writing it.
    """
    try:
        try:
            directory.mkdir(parents=True, exist_ok=True)
            until.enter_context(claim(directory, tool))
        except FileNotFoundError:  # a failed run has just removed the directory that it created
            directory.mkdir(parents=True, exist_ok=True)
            until.enter_context(claim(directory, tool))
    except OSError as error:
        hint = "name a directory that is new or empty, where you may write"
        raise ConfigError(f"{directory} cannot be written: {error.strerror}", hint=hint) from error


def _clean_finished(output: StageOutput) -> None:
    """Remove the leftovers of a run that was killed right after its manifest. A living run removes its own."""
    if output._has_leftovers():
        with suppress(ConfigError, OSError), claim(output.directory, output.lineage.tool):
            output._remove_leftovers()


def _read_mark(mark: Path, hint: str) -> Lineage:
    try:
        return Lineage.model_validate_json(mark.read_bytes())
    except ValidationError as error:
        raise ConfigError(f"{mark} is damaged", hint=hint) from error


def _foreign(directory: Path, names: Sequence[str]) -> ConfigError:
    others = f" and {len(names) - 1:,} more" if len(names) > 1 else ""
    return ConfigError(
        f"{directory} holds {names[0]}{others}, which this command did not write",
        hint="name a directory that is new or empty; nothing is ever overwritten",
    )


def _check_same_stage(directory: Path, what: str, lineage: Lineage, expected: Lineage) -> None:
    """Raise unless two lineages are the same.

    Args:
        directory: Where the output is.
        what: What kind of output it is, for the message.
        lineage: The lineage of the existing output.
        expected: The lineage of the stage that wants to write there.

    Raises:
        ConfigError: Names the differences: tool, version, keys of the configuration, inputs.
    """
    if lineage == expected:
        return
    keys = _differing_keys(lineage.config, expected.config)
    differences = {
        f"by {lineage.tool}": lineage.tool != expected.tool,
        f"by version {lineage.version}": lineage.version != expected.version,
        f"with other values of {', '.join(keys)}": bool(keys),
        "from other inputs": (lineage.parents, lineage.ancestors) != (expected.parents, expected.ancestors),
    }
    how = " and ".join(difference for difference, holds in differences.items() if holds)
    raise ConfigError(
        f"{directory} already holds {what} of {lineage.tool} {lineage.version}, made {how or 'otherwise'}",
        hint="choose another output directory, or delete this one",
    )


def _differing_keys(table: Mapping[str, Any], expected: Mapping[str, Any]) -> list[str]:
    """Return the sorted dotted keys at which two nested tables differ."""
    keys = []
    for key in sorted({*table, *expected}):
        left, right = table.get(key), expected.get(key)
        if isinstance(left, Mapping) and isinstance(right, Mapping):
            keys += [f"{key}.{inner}" for inner in _differing_keys(left, right)]
        elif left != right:
            keys.append(key)
    return keys
