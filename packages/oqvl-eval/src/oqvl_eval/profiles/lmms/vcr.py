"""VCR as lmms-eval scores it (75571cf): see `oqvl_eval.profiles.ngram_match`."""

from __future__ import annotations

from collections.abc import Sequence

from oqvl_eval.profiles.ngram_match import NgramMatch, Tokenizer, score_covered_text


def match(output: str, covered_texts: Sequence[str], tokenize: Tokenizer, joiner: str = " ") -> list[NgramMatch]:
    """Match an answer with every covered text of a picture.

    Args:
        output: The answer.
        covered_texts: The texts the picture covers.
        tokenize: Turns a text into tokens; the harness uses spaCy's small model of the language.
        joiner: The text between tokens: a space in English, nothing in Chinese.
    """
    return [score_covered_text(output, text, tokenize, joiner) for text in covered_texts]
