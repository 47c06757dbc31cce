"""One pack: the stored tokens of its documents, and the training sequence that they expand to. Needs numpy only.

Shape suffixes: S stored tokens (one placeholder per image), T expanded tokens (each placeholder repeated once per
visual token), D documents, I images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oqvl_shards.errors import DataError

IGNORE_INDEX = -100
"""Label of a position without loss; the value that torch's cross entropy ignores by default."""


@dataclass(frozen=True)
class PackRecord:
    """The data that one pack stores in addition to its images.

    Args:
        input_ids: int32 [S], the tokens of one document after another, with one placeholder token per image.
        is_target: bool [S], whether the token is to be predicted (captions and answers: yes; prompts, images: no).
        document_lengths: int32 [D], stored tokens of each document; they add up to S.
        image_positions: int32 [I], ascending indices of the image placeholders in `input_ids`.
        image_tokens: int32 [I], visual tokens that each placeholder stands for.
        document_keys: [D] names of the source samples, `{shard}/{key}`.
        image_types: [I] file endings of the images (`jpg`, `jpeg`, `png`, `webp`).
    """

    input_ids: NDArray[np.int32]
    is_target: NDArray[np.bool_]
    document_lengths: NDArray[np.int32]
    image_positions: NDArray[np.int32]
    image_tokens: NDArray[np.int32]
    document_keys: tuple[str, ...]
    image_types: tuple[str, ...]

    def check(self, where: str) -> None:
        """Raise `DataError`, naming `where`, if the parts do not fit together."""
        num_stored, num_images = len(self.input_ids), len(self.image_positions)
        problems = {
            "is_target and input_ids differ in length": len(self.is_target) != num_stored,
            "document_lengths do not add up to input_ids": int(self.document_lengths.sum()) != num_stored,
            "a document is empty": bool((self.document_lengths <= 0).any()),
            "document_keys and document_lengths differ in number": len(self.document_keys)
            != len(self.document_lengths),
            "image_tokens and image_positions differ in number": len(self.image_tokens) != num_images,
            "image_types and image_positions differ in number": len(self.image_types) != num_images,
            "image_tokens holds a count below one": bool((self.image_tokens < 1).any()),
            "image_positions do not ascend": bool((np.diff(self.image_positions) <= 0).any()),
            "an image position is outside of input_ids": bool(
                ((self.image_positions < 0) | (self.image_positions >= num_stored)).any()
            ),
        }
        for problem, is_there in problems.items():
            if is_there:
                raise DataError(f"{where}: {problem}", hint="the packed shard is damaged: pack again")
        if num_images and self.is_target[self.image_positions].any():
            raise DataError(f"{where}: an image placeholder is marked as a target", hint="pack again")

    @property
    def num_tokens(self) -> int:
        """Expanded length T in tokens."""
        return len(self.input_ids) + int(self.image_tokens.sum()) - len(self.image_tokens)

    def expand(self) -> TrainingSequence:
        """Return the sequence that a model trains on, with every placeholder repeated once per visual token."""
        # Find where each document ends once its placeholders are repeated.
        repeats_S = np.ones(len(self.input_ids), dtype=np.int64)
        repeats_S[self.image_positions] = self.image_tokens
        ends_S = np.cumsum(repeats_S)
        document_ends_D = ends_S[np.cumsum(self.document_lengths) - 1]
        cu_seqlens = np.concatenate([[0], document_ends_D]).astype(np.int32)
        lengths_D = np.diff(cu_seqlens)
        # Repeat, and mask what carries no loss.
        input_ids_T = np.repeat(self.input_ids.astype(np.int64), repeats_S)
        labels_T = np.where(np.repeat(self.is_target, repeats_S), input_ids_T, IGNORE_INDEX)
        # The loss shifts the labels. Without this, the last token of a document would predict the first of the next.
        labels_T[cu_seqlens[:-1]] = IGNORE_INDEX
        position_ids_T = np.arange(len(input_ids_T)) - np.repeat(cu_seqlens[:-1], lengths_D)
        return TrainingSequence(input_ids_T, labels_T, position_ids_T, cu_seqlens)


@dataclass(frozen=True)
class TrainingSequence:
    """One or several packs in the form that a model takes.

    Args:
        input_ids: int64 [T].
        labels: int64 [T], equal to `input_ids` at targets and `IGNORE_INDEX` elsewhere. They are not shifted. A
            document's first token is never a target.
        position_ids: int64 [T], starting again at 0 with every document.
        cu_seqlens: int32 [D + 1], where documents begin and end: 0, ..., T.
    """

    input_ids: NDArray[np.int64]
    labels: NDArray[np.int64]
    position_ids: NDArray[np.int64]
    cu_seqlens: NDArray[np.int32]

    @classmethod
    def concatenate(cls, sequences: Sequence[TrainingSequence]) -> TrainingSequence:
        """Join sequences end to end. Documents stay separate."""
        offsets = np.cumsum([0, *(len(sequence.input_ids) for sequence in sequences)])
        bounds = [sequence.cu_seqlens[1:] + offset for sequence, offset in zip(sequences, offsets, strict=False)]
        return cls(
            np.concatenate([sequence.input_ids for sequence in sequences]),
            np.concatenate([sequence.labels for sequence in sequences]),
            np.concatenate([sequence.position_ids for sequence in sequences]),
            np.concatenate([[0], *bounds]).astype(np.int32),
        )


@dataclass(frozen=True)
class Pack:
    """A pack and its images.

    Args:
        pack_id: 0-based index of the pack in the dataset, across shards.
        record: Tokens and boundaries.
        images: [I] encoded image files, byte for byte as in the source shard.
    """

    pack_id: int
    record: PackRecord
    images: tuple[bytes, ...]
