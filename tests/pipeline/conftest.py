"""What the tests that join the stages share: a small tokenizer."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

SPECIAL_TOKENS = ["<s>", "<image>", "<|im_start|>", "<|im_end|>", "<|pad|>"]

SENTENCES = [
    "system\nYou are a helpful assistant.",
    "user\nWhat is the colour of this picture?\n\nassistant\n",
    "a red picture\n\n\t\ta green picture\r\n\r\n   a blue picture \n",
    "<image>\n<|im_start|> <|im_end|>",
    "Käse, œuvre, 漢字, 🙂",
]
"""What the merges are learned from: runs of white space and the spellings of special tokens are whole tokens too."""

QWEN2_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""How Qwen2's tokenizer.json splits text before byte-pair encoding."""


@pytest.fixture(scope="session")
def make_tokenizer() -> Callable[[str], bytes]:
    """A function from a way of splitting text, `gpt2` or `qwen2`, to the content of a small tokenizer.json."""

    def make(splitting: str) -> bytes:
        tokenizer = Tokenizer(models.BPE())
        tokenizer.decoder = decoders.ByteLevel()
        if splitting == "gpt2":
            tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        else:
            tokenizer.normalizer = normalizers.NFC()
            tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
                [
                    pre_tokenizers.Split(Regex(QWEN2_WORDS), behavior="isolated"),
                    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
                ]
            )
        trainer = trainers.BpeTrainer(
            vocab_size=400,
            min_frequency=1,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        tokenizer.train_from_iterator(SENTENCES, trainer)
        tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS])
        return tokenizer.to_str().encode()

    return make
