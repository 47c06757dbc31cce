"""Prepare images in worker threads while a model is busy with the previous batch.

Decoding and resizing release Python's lock, so threads are enough. Batches keep the order of the samples and never span
shards. What a thread does for one image does not depend on the others, so scores do not depend on the number of
threads.

Two decoders turn an image file into pixels:

- `exact`: the model's own pre-processing, step by step, on Pillow images;
- `fast`: the same steps with torch's resize on 8-bit integers, which rounds differently, and with the normalisation
  left to the model's device. A JPEG with more than four times the side length that the model reads is decoded at a
  half, a quarter or an eighth of its size. If the model's steps are not a plain resize and crop, `fast` is the same as
  `exact`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
from PIL import Image

from oqvl_filter.pool import PoolSample
from oqvl_shards.image import decode_image
from oqvl_shards.tar.reader import ShardReader
from oqvl_shards.tar.sample import ReadLimits, SampleError

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from torchvision.transforms import InterpolationMode

_Prepared = TypeVar("_Prepared")

_SPARE = 2
"""A JPEG that `fast` decodes at a part of its size keeps at least this many times the side length of the result."""

_FAST_ORDERS = (["Resize", "Normalize"], ["Resize", "CenterCrop", "Normalize"])
_PLAIN_PROCESSORS = ("SiglipImageProcessor", "CLIPImageProcessor")
_FILTERS = {
    Image.Resampling.BILINEAR: "bilinear",
    Image.Resampling.BICUBIC: "bicubic",
    Image.Resampling.LANCZOS: "lanczos",
}
"""Torch's names of Pillow's filters."""


def prepared_batches(
    reader: ShardReader,
    samples: Sequence[PoolSample],
    wanted: Iterable[int],
    prepare: Callable[[bytes], _Prepared],
    *,
    batch_size: int,
    num_threads: int,
    results: list[Any],
) -> Iterator[list[tuple[int, _Prepared]]]:
    """Yield batches of (index of the sample, its prepared image); write to `results` why an image cannot be decoded.

    Args:
        reader: The open shard.
        samples: Its samples.
        wanted: Indices of the samples to prepare, in order.
        prepare: Turns an image file into a model's input; called from several threads.
        batch_size: Images per batch; the last batch of the shard holds the rest.
        num_threads: Threads that prepare; 0: images are prepared between the batches.
        results: [len(samples)] receives the reason why a sample has no image.
    """
    batch: list[tuple[int, _Prepared]] = []
    # Two batches ahead: one is full while the model works on the other.
    images = _prepared(
        reader, samples, wanted, prepare, max_ahead=2 * batch_size, num_threads=num_threads, results=results
    )
    for index, image in images:
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
    prepare: Callable[[bytes], _Prepared],
    *,
    max_ahead: int,
    num_threads: int,
    results: list[Any],
) -> Iterator[tuple[int, _Prepared]]:
    """Yield (index, prepared image) in order, at most `max_ahead` images ahead of the consumer."""
    if num_threads == 0:
        for index in wanted:
            try:
                yield index, prepare(reader.image(samples[index].sample)[1])
            except SampleError as error:
                results[index] = error.reason
        return
    pending: deque[tuple[int, Future[_Prepared]]] = deque()
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


def _first(pending: deque[tuple[int, Future[_Prepared]]], results: list[Any]) -> Iterator[tuple[int, _Prepared]]:
    index, future = pending.popleft()
    try:
        yield index, future.result()
    except SampleError as error:
        results[index] = error.reason


@dataclass(frozen=True)
class Preparation:
    """How image files become a model's input: each one alone in a thread, then a batch of them on the model's device.

    Args:
        pixels: Turns an image file into [3, H, W]: 8-bit integers if `normalise` is given, else what the model reads.
        normalise: Turns the 8-bit integers of a batch [N, 3, H, W] into float32.
    """

    pixels: Callable[[bytes], Tensor]
    normalise: Callable[[Tensor], Tensor] | None = None

    def batch(self, pixels: Sequence[Tensor], device: str, dtype: torch.dtype) -> Tensor:
        """Return the model's input [N, 3, H, W] on `device`; 8-bit integers move a quarter of the bytes."""
        import torch

        pixels_N3HW = torch.stack(list(pixels)).to(device)
        return (pixels_N3HW if self.normalise is None else self.normalise(pixels_N3HW)).to(dtype)


@dataclass(frozen=True)
class _ImageSteps:
    """The pre-processing that most models have: resize, crop to the centre, normalise.

    Args:
        size: Pixels of the shorter side after resizing, or (height, width).
        interpolation: How to resize.
        mean: [3] subtracted from RGB values, which are 0 to 1.
        std: [3] divides the RGB values after that.
        crop: (height, width) of the centre that is kept; None: everything.
    """

    size: int | tuple[int, int]
    interpolation: InterpolationMode
    mean: Sequence[float]
    std: Sequence[float]
    crop: tuple[int, int] | None = None


def torchvision_preparation(steps: Any, limits: ReadLimits, decoder: Literal["exact", "fast"]) -> Preparation:
    """Return the preparation of a torchvision `Compose` for Pillow images.

    Args:
        steps: The model's pre-processing; it ends with `ToTensor` and `Normalize`.
        limits: Caps on what is decoded.
        decoder: `exact` or `fast`, see the module's docstring.
    """
    found = _torchvision_steps(steps)
    if found is None:
        return Preparation(lambda content: steps(decode_image(content, limits)))
    if decoder == "fast":
        return _fast(found, limits)
    on_pillow = [step for step in steps.transforms if type(step).__name__ in ("Resize", "CenterCrop")]

    def pixels(content: bytes) -> Tensor:
        image = decode_image(content, limits)
        for step in on_pillow:
            image = step(image)
        return image_tensor(image)[:3].contiguous()

    return Preparation(pixels, partial(normalise, mean=found.mean, std=found.std))


def processor_preparation(process: Any, limits: ReadLimits, decoder: Literal["exact", "fast"]) -> Preparation:
    """Return the preparation of an image processor of transformers.

    Args:
        process: The model's image processor.
        limits: Caps on what is decoded.
        decoder: `exact` or `fast`, see the module's docstring.
    """
    found = _processor_steps(process) if decoder == "fast" else None
    if found is not None:
        return _fast(found, limits)
    return Preparation(
        lambda content: process(images=decode_image(content, limits), return_tensors="pt")["pixel_values"][0]
    )


def _fast(steps: _ImageSteps, limits: ReadLimits) -> Preparation:
    """Return the preparation that does `steps` with torch's resize on 8-bit integers."""
    from torchvision.transforms.v2 import functional

    size = [steps.size] if isinstance(steps.size, int) else list(steps.size)

    def pixels(content: bytes) -> Tensor:
        image_CHW = image_tensor(decode_image(content, limits, needed_side=_SPARE * max(size)))
        image_CHW = functional.resize(image_CHW, size, interpolation=steps.interpolation, antialias=True)
        if steps.crop is not None:
            image_CHW = functional.center_crop(image_CHW, list(steps.crop))
        return image_CHW[:3].contiguous()

    return Preparation(pixels, partial(normalise, mean=steps.mean, std=steps.std))


def normalise(pixels_N3HW: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Return (x / 255 - mean) / std in float32, bit for bit as torchvision's `ToTensor` and `Normalize`."""
    import torch

    mean_311, std_311 = (torch.tensor(values, device=pixels_N3HW.device).view(3, 1, 1) for values in (mean, std))
    return pixels_N3HW.float().div_(255).sub_(mean_311).div_(std_311)


def image_tensor(image: Image.Image) -> Tensor:
    """Return the pixels [C, H, W] of an RGB image as read-only 8-bit integers: C is 3, or 4 with a filler.

    Pillow stores four bytes per pixel and shares them without a copy, unless the image is larger than 16 MiB.
    """
    import pyarrow as pa
    import torch

    try:
        bytes_A = torch.from_dlpack(pa.array(image).flatten())
    except (TypeError, ValueError):  # several blocks of memory, or Pillow before 11.3
        bytes_A = torch.from_numpy(np.array(image)).flatten()
    return bytes_A.view(image.height, image.width, -1).permute(2, 0, 1)


def _torchvision_steps(steps: Any) -> _ImageSteps | None:
    """Return what a `Compose` does; None if it is anything but resize, crop and normalise, in this order."""
    from torchvision import transforms

    found = {type(step).__name__: step for step in steps.transforms}
    # Converters do not matter: `decode_image` returns RGB, and the conversion to a tensor comes last in any case.
    order = [name for name in found if name not in ("MaybeConvertMode", "_convert_to_rgb", "ToTensor", "MaybeToTensor")]
    if len(found) != len(steps.transforms) or order not in _FAST_ORDERS:
        return None
    resize: transforms.Resize = found["Resize"]
    normalise: transforms.Normalize = found["Normalize"]
    return _ImageSteps(
        size=resize.size if isinstance(resize.size, int) else (resize.size[0], resize.size[-1]),
        interpolation=resize.interpolation,
        mean=normalise.mean,
        std=normalise.std,
        crop=tuple(found["CenterCrop"].size) if "CenterCrop" in found else None,
    )


def _processor_steps(process: Any) -> _ImageSteps | None:
    """Return what an image processor does; None if it is anything but resize, crop and normalise."""
    from torchvision.transforms import InterpolationMode

    modes = {int(resample): InterpolationMode(name) for resample, name in _FILTERS.items()}
    size = {side: length for side, length in dict(process.size or {}).items() if length is not None}
    is_plain = type(process).__name__.startswith(_PLAIN_PROCESSORS)
    is_plain &= bool(process.do_resize and process.do_rescale and process.do_normalize)
    is_plain &= abs(process.rescale_factor * 255 - 1) < 1e-6 and process.resample in modes
    if not is_plain or set(size) not in ({"height", "width"}, {"shortest_edge"}):
        return None
    crop = process.crop_size if getattr(process, "do_center_crop", False) else None
    return _ImageSteps(
        size=size["shortest_edge"] if "shortest_edge" in size else (size["height"], size["width"]),
        interpolation=modes[process.resample],
        mean=process.image_mean,
        std=process.image_std,
        crop=None if crop is None else (crop["height"], crop["width"]),
    )
