"""The score of VCR: the n-gram of an answer that is most similar to a covered text, and how well it agrees with it.

The rule needs the tokens of both texts. The harnesses take them from the small spaCy models of English and Chinese;
here the caller passes a tokenizer.

Bug kept: an answer that holds "sorry" or "I can't" anywhere scores 0, even if the covered text has these words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

Tokenizer = Callable[[str], Sequence[str]]

_REFUSALS = ("I can't", "I cannot", "无法", "抱歉")
_REFUSAL_IN_ANY_CASE = "sorry"


@dataclass(frozen=True)
class NgramMatch:
    """How well the best n-gram of an answer agrees with a covered text.

    Args:
        text: The n-gram, joined; empty if no n-gram shares a token with the covered text.
        exact_match: 1 if its tokens are those of the covered text, else 0.
        jaccard: The distinct tokens they share, divided by the distinct tokens of either.
    """

    text: str = ""
    exact_match: float = 0.0
    jaccard: float = 0.0


def is_refusal(output: str) -> bool:
    """Return whether an answer has one of the phrases that make it score 0."""
    return _REFUSAL_IN_ANY_CASE in output.lower() or any(phrase in output for phrase in _REFUSALS)


def best_ngram(output: str, covered_text: str, tokenize: Tokenizer, joiner: str = " ") -> NgramMatch:
    """Compare the n-grams of an answer with a covered text of n tokens, and return the most similar one.

    Similarity is the ratio of matching characters that `difflib` computes. Of several equally similar n-grams, the
    first counts.

    Args:
        output: The answer.
        covered_text: The text the picture covers.
        tokenize: Turns a text into tokens.
        joiner: The text between tokens: a space in English, nothing in Chinese.
    """
    said, wanted = list(tokenize(output)), list(tokenize(covered_text))
    starts = range(len(said) - len(wanted) + 1) if wanted else ()
    ngrams = [said[start : start + len(wanted)] for start in starts]
    best, best_similarity = list[str](), 0.0
    for ngram in ngrams:
        if set(ngram).isdisjoint(wanted):
            continue
        similarity = SequenceMatcher(None, joiner.join(ngram), covered_text).ratio()
        if similarity > best_similarity:
            best, best_similarity = ngram, similarity
    if not best:
        return NgramMatch()
    shared, either = set(best) & set(wanted), set(best) | set(wanted)
    return NgramMatch(joiner.join(best), float(best == wanted), len(shared) / len(either))


def score_covered_text(output: str, covered_text: str, tokenize: Tokenizer, joiner: str = " ") -> NgramMatch:
    """Score an answer against one covered text; a refusal scores 0."""
    return NgramMatch() if is_refusal(output) else best_ngram(output, covered_text, tokenize, joiner)
