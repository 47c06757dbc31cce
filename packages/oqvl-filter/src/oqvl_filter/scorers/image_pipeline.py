"""Prepare images in worker threads while a model is busy with the batch before.

Decoding and resizing release Python's lock, so threads are enough. Batches keep the order of the samples and never span
shards, and what a thread does for one image does not depend on the others: scores do not depend on how many there are.

Two decoders make pixels of an image file:

- `exact`: the model's own pre-processing, step by step, on Pillow images;
- `fast`: the same steps with torch's resize on 8-bit integers, which is several times as fast and rounds otherwise.
  Where the model's steps are not a plain resize and crop, it is `exact`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np

from oqvl_filter.pool import PoolSample
from oqvl_shards.image import decode_image
from oqvl_shards.reader import ShardReader
from oqvl_shards.sample import ReadLimits, SampleError

if TYPE_CHECKING:
    from torch import Tensor

Prepared = TypeVar("Prepared")


def prepared_batches(
    reader: ShardReader,
    samples: Sequence[PoolSample],
    wanted: Iterable[int],
    prepare: Callable[[bytes], Prepared],
    batch_size: int,
    num_threads: int,
    results: list[Any],
) -> Iterator[list[tuple[int, Prepared]]]:
    """Yield batches of (index of the sample, its prepared image); what cannot be decoded goes to `results`.

    Args:
        reader: The open shard.
        samples: Its samples.
        wanted: Indices of the samples to prepare, in order.
        prepare: Makes a model's input of an image file; called from several threads.
        batch_size: Images a batch; the last one of the shard holds the rest.
        num_threads: Threads that prepare; 0 does it between the batches.
        results: [len(samples)] gets the reason why a sample has no image.
    """
    batch: list[tuple[int, Prepared]] = []
    for index, image in _prepared(reader, samples, wanted, prepare, 2 * batch_size, num_threads, results):
        batch.append((index, image))
        if len(batch) == batch_size:
            yield batch
            batch = []
    if batch:
        yield batch


def _prepared(
    reader: ShardReader,
    samples: Sequence[PoolSample],
    wanted: Iterable[int],
    prepare: Callable[[bytes], Prepared],
    max_ahead: int,
    num_threads: int,
    results: list[Any],
) -> Iterator[tuple[int, Prepared]]:
    """Yield (index, prepared image) in order, at most `max_ahead` images ahead of the consumer."""
    if num_threads == 0:
        for index in wanted:
            try:
                yield index, prepare(reader.image(samples[index].sample)[1])
            except SampleError as error:
                results[index] = error.reason
        return
    pending: deque[tuple[int, Future[Prepared]]] = deque()
    with ThreadPoolExecutor(num_threads, thread_name_prefix="prepare") as pool:
        try:
            for index in wanted:
                try:
                    content = reader.image(samples[index].sample)[1]
                except SampleError as error:
                    results[index] = error.reason
                    continue
                pending.append((index, pool.submit(prepare, content)))
                if len(pending) >= max_ahead:
                    yield from _first(pending, results)
            while pending:
                yield from _first(pending, results)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _first(pending: deque[tuple[int, Future[Prepared]]], results: list[Any]) -> Iterator[tuple[int, Prepared]]:
    index, future = pending.popleft()
    try:
        yield index, future.result()
    except SampleError as error:
        results[index] = error.reason


def torchvision_preparation(
    steps: Any, limits: ReadLimits, decoder: Literal["exact", "fast"]
) -> Callable[[bytes], Tensor]:
    """Return what makes pixels, float32 [3, H, W], of an image file by a torchvision `Compose` for Pillow images.

    Args:
        steps: The model's pre-processing; it ends with `ToTensor` and `Normalize`.
        limits: Caps on what is decoded.
        decoder: `exact` or `fast`, see the module.
    """
    fast_steps = _fast_steps(steps) if decoder == "fast" else None

    def exact(content: bytes) -> Tensor:
        return steps(decode_image(content, limits))

    def fast(content: bytes) -> Tensor:
        import torch

        assert fast_steps is not None
        pixels: Any = torch.from_numpy(np.array(decode_image(content, limits))).permute(2, 0, 1)
        for step in fast_steps:
            pixels = step(pixels)
        return pixels

    return exact if fast_steps is None else fast


def _fast_steps(steps: Any) -> list[Callable[[Any], Any]] | None:
    """Return `steps` for tensors of 8-bit integers; None when one of them is not known."""
    from torchvision import transforms
    from torchvision.transforms.v2 import functional

    fast: list[Callable[[Any], Any]] = []
    for step in steps.transforms:
        match step:
            case transforms.Resize():
                fast.append(_resize(functional.resize, step))
            case transforms.CenterCrop():
                fast.append(step)
            case transforms.ToTensor():
                continue
            case transforms.Normalize():
                fast.append(_normalise(step))
            case _ if type(step).__name__ == "MaybeConvertMode":  # timm's; `decode_image` gives RGB
                continue
            case _:
                return None
    return fast


def _resize(resize: Callable[..., Any], step: Any) -> Callable[[Any], Any]:
    size = step.size if isinstance(step.size, int) else list(step.size)
    return lambda pixels: resize(pixels, size, interpolation=step.interpolation, antialias=True)


def _normalise(step: Any) -> Callable[[Any], Any]:
    """Return (x / 255 - mean) / std as one multiplication and one addition."""
    import torch

    std_311 = torch.tensor(step.std).view(3, 1, 1)
    scale_311, shift_311 = 1 / (255 * std_311), -torch.tensor(step.mean).view(3, 1, 1) / std_311
    return lambda pixels: pixels.contiguous().float().mul_(scale_311).add_(shift_311)
