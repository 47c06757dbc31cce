"""A tokenizer, models, pictures and packs that are small enough to compute anything about them."""

from __future__ import annotations

import hashlib
import io
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from oqvl_model.configuration_oqvl import OqvlConfig
from oqvl_model.modeling_oqvl import OqvlForConditionalGeneration
from oqvl_model.processing_oqvl import OqvlProcessor, ProcessorConfig
from oqvl_shards.manifest import PackedDetails
from oqvl_shards.packed.record import Pack, PackRecord

sys.path.insert(0, str(Path(__file__).parent))  # worker processes import modules from here

SPECIAL_TOKENS = ["<|pad|>", "<s>", "<|im_start|>", "<|im_end|>", "<image>"]
SENTENCES = ["a red apple on a table", "a blue car", "system user assistant", "what is this? a green tree"]
IMAGE_SIZE = 24
VISUAL_TOKENS = 4
QWEN_VOCAB_SIZE = 151643
QWEN_LAST_ID = 151664


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the tests that need a CUDA device if there is none."""
    if not torch.cuda.is_available():
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("gpu")])
        items[:] = [item for item in items if not item.get_closest_marker("gpu")]


@pytest.fixture(scope="session")
def tokenizer_json() -> bytes:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    return tokenizer.to_str().encode()


@pytest.fixture(scope="session")
def qwen_tokenizer_json() -> bytes:
    """A tokenizer with as many ids as Qwen2.5's: bytes, fillers, and the added tokens up to id 151664."""
    vocab = {token: index for index, token in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    vocab |= {f"filler {index}": index for index in range(len(vocab), QWEN_VOCAB_SIZE)}
    tokenizer = Tokenizer(models.BPE(vocab, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    names = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    names += [f"<|reserved {index}|>" for index in range(QWEN_LAST_ID + 1 - QWEN_VOCAB_SIZE - len(names))]
    tokenizer.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in names])
    return tokenizer.to_str().encode()


@pytest.fixture(scope="session")
def processor(tokenizer_json: bytes) -> OqvlProcessor:
    config = ProcessorConfig(
        image_size=IMAGE_SIZE,
        image_mean=(0.5, 0.5, 0.5),
        image_std=(0.5, 0.5, 0.5),
        visual_tokens_per_image=VISUAL_TOKENS,
    )
    return OqvlProcessor(config, tokenizer_json)


@pytest.fixture(scope="session")
def make_config(processor: OqvlProcessor) -> Callable[..., OqvlConfig]:
    """Return a function that makes the configuration of the smallest model, with the given fields changed."""
    return partial(_config, processor)


@pytest.fixture
def config(make_config: Callable[..., OqvlConfig]) -> OqvlConfig:
    return make_config()


def _config(processor: OqvlProcessor, **changes: Any) -> OqvlConfig:
    vision = {
        "model_type": "siglip_vision_model",
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "image_size": IMAGE_SIZE,
        "patch_size": 6,
        "hidden_act": "gelu",
    }
    text = {
        "vocab_size": 320,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "tie_word_embeddings": True,
    }
    values: dict[str, Any] = {
        "vision_config": vision,
        "text_config": text,
        "image_token_id": processor.image_token_id,
        "visual_tokens_per_image": VISUAL_TOKENS,
    }
    return OqvlConfig(**{**values, **changes})


@pytest.fixture
def model(config: OqvlConfig) -> OqvlForConditionalGeneration:
    return _enliven(OqvlForConditionalGeneration(config))


@pytest.fixture(scope="session")
def enliven() -> Callable[[OqvlForConditionalGeneration], OqvlForConditionalGeneration]:
    return _enliven


def _enliven(model: OqvlForConditionalGeneration) -> OqvlForConditionalGeneration:
    """Scale up every parameter. Fresh weights are so small that most mistakes would not show."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(1 + 0.1 * noise if "norm" in name and name.endswith("weight") else 0.3 * noise)
    return model.eval()


@pytest.fixture
def checkpoint(tmp_path: Path, model: OqvlForConditionalGeneration, processor: OqvlProcessor) -> Path:
    directory = tmp_path / "checkpoint"
    model.save_pretrained(directory)
    processor.save_pretrained(directory)
    return directory


@pytest.fixture(scope="session")
def picture() -> Callable[..., Image.Image]:
    """Return a function that makes a picture from a seed."""
    return _picture


def _picture(seed: int, size: tuple[int, int] = (40, 30)) -> Image.Image:
    """Make a picture with large shapes, because resizing would remove noise."""
    colours = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(colours).resize(size, Image.Resampling.NEAREST)


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


@pytest.fixture(scope="session")
def make_pack(processor: OqvlProcessor) -> Callable[..., Pack]:
    """Return a function that makes a pack of documents. None is an image; captions and end tokens are targets."""

    def make(documents: Sequence[Sequence[str | None]], seed: int = 0, pack_id: int = 0) -> Pack:
        ids: list[int] = []
        is_target: list[bool] = []
        lengths, positions = [], []
        for document in documents:
            start = len(ids)
            assert processor.bos_token_id is not None
            ids.append(processor.bos_token_id)
            is_target.append(False)
            for part in document:
                if part is None:
                    positions.append(len(ids))
                    ids.append(processor.image_token_id)
                    is_target.append(False)
                else:
                    text = processor.encode_text(part)
                    ids += text
                    is_target += [True] * len(text)
            ids.append(processor.end_token_id)
            is_target.append(True)
            lengths.append(len(ids) - start)
        record = PackRecord(
            input_ids=np.array(ids, np.int32),
            is_target=np.array(is_target),
            document_lengths=np.array(lengths, np.int32),
            image_positions=np.array(positions, np.int32),
            image_tokens=np.full(len(positions), VISUAL_TOKENS, np.int32),
            document_keys=tuple(f"{pack_id}/{index}" for index in range(len(documents))),
            image_types=("png",) * len(positions),
        )
        record.check("test pack")
        return Pack(pack_id, record, tuple(_png(_picture(seed + index)) for index in range(len(positions))))

    return make


@pytest.fixture
def packed(packed_details: PackedDetails) -> PackedDetails:
    return packed_details


@pytest.fixture(scope="session")
def packed_details(processor: OqvlProcessor) -> PackedDetails:
    return PackedDetails(
        bin_capacity=128,
        visual_tokens_per_image=VISUAL_TOKENS,
        image_token_id=processor.image_token_id,
        pad_token_id=processor.pad_token_id,
        vocab_size=processor.vocab_size,
        tokenizer_sha256=hashlib.sha256(processor.tokenizer_json).hexdigest(),
        num_documents=1,
        num_images=1,
        num_tokens=1,
        num_target_tokens=1,
        lower_bound=1,
    )
