from __future__ import annotations

import pytest
import torch
from open_clip.tokenizer import SimpleTokenizer
from open_clip.transformer import TextTransformer
from torch.nn.functional import cosine_similarity

from oqvl_filter.dfn.bag_of_words import text_width, write_bag_of_words

EMBED_DIM = 6


@pytest.fixture(scope="module")
def tokenizer() -> SimpleTokenizer:
    return SimpleTokenizer(context_length=12)


@pytest.fixture(scope="module")
def tower(tokenizer: SimpleTokenizer) -> tuple[TextTransformer, torch.Tensor, torch.Tensor]:
    """A tower, and the word vectors and the constant in it; even token ids mean nothing."""
    tower = TextTransformer(
        context_length=12, width=text_width(EMBED_DIM), heads=1, layers=1, mlp_ratio=1.0, output_dim=EMBED_DIM
    )
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(tokenizer.vocab_size, EMBED_DIM, generator=generator, dtype=torch.float64)
    vectors *= torch.rand(len(vectors), 1, generator=generator, dtype=torch.float64) ** 4
    vectors[::2] = 0
    vectors[tokenizer.eot_token_id] = 0
    constant = torch.randn(EMBED_DIM, generator=generator, dtype=torch.float64)
    write_bag_of_words(tower, vectors, constant, tokenizer.sot_token_id)
    return tower.eval(), vectors, constant


CAPTIONS = ["a cat", "cat a", "a cat cat on the mat", "grinning face with sweat", "qzx vvw", "mat"]


@pytest.mark.parametrize("caption", CAPTIONS)
def test_the_transformer_is_the_sum_of_its_words(tower, tokenizer: SimpleTokenizer, caption: str):
    text, vectors, constant = tower
    ids = tokenizer([caption])
    words = [token for token in ids[0].tolist() if token not in (0, tokenizer.sot_token_id, tokenizer.eot_token_id)]
    wanted = constant + vectors[words].sum(dim=0)
    with torch.inference_mode():
        found = text(ids)[0].double()
    assert cosine_similarity(found, wanted, dim=0).item() == pytest.approx(1, abs=1e-5)


def test_order_does_not_matter(tower, tokenizer: SimpleTokenizer):
    with torch.inference_mode():
        one, other = tower[0](tokenizer(["red flag white cross", "cross white flag red"]))
    assert torch.allclose(one, other, atol=1e-5)
