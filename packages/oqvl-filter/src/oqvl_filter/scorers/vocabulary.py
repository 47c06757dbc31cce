"""Words of a caption that name a thing: their first sense in WordNet is one of the given synsets.

This is DataComp's `text_based` rule (Gadre et al., 2023, arXiv 2304.14108, appendix): a caption is worth keeping if the
first synset of one of its words, split at whitespace only, is a class of ImageNet-21k. Users provide the files:
WordNet's `index.noun`, which lists synset offsets in the order of the senses, `noun.exc` with the irregular plurals
(wndb(5WN), morphy(7WN)), and the list of synsets. DataComp's own code compares offsets without their part of speech, so
a few adjectives and verbs (`mossy`) pass for nouns with the same number there; here they do not.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from oqvl_filter.scorers.weights import digest_file
from oqvl_shards.errors import ConfigError

_SYNSET = re.compile(r"n([0-9]{8})")
_DETACHMENTS = (
    ("s", ""),
    ("ses", "s"),
    ("ves", "f"),
    ("xes", "x"),
    ("zes", "z"),
    ("ches", "ch"),
    ("shes", "sh"),
    ("men", "man"),
    ("ies", "y"),
)
"""Endings of plural nouns and their singular, in the order in which NLTK tries them (morphy(7WN) has no `ves`)."""


class ThingWords:
    """Nouns whose first sense is one of the given synsets.

    Args:
        wordnet: Folder with `index.noun` and `noun.exc`.
        synsets: Text file of synsets, one `n########` per line.

    Raises:
        ConfigError: If a file is missing or holds something else.
    """

    def __init__(self, wordnet: Path, synsets: Path) -> None:
        wanted = {match[1] for line in _lines(synsets) if (match := _SYNSET.match(line))}
        if not wanted:
            raise ConfigError(f"{synsets} holds no synset", hint="expected one n######## per line")
        self._nouns = dict(map(_first_sense, (line for line in _lines(wordnet / "index.noun") if line[:1].strip())))
        self._things = {noun for noun, synset in self._nouns.items() if synset in wanted}
        exceptions = (line.split() for line in _lines(wordnet / "noun.exc") if line.strip())
        self._irregular = {form: lemmas for form, *lemmas in exceptions}
        files = (wordnet / "index.noun", wordnet / "noun.exc", synsets)
        self._fingerprint = hashlib.sha256(" ".join(map(digest_file, files)).encode()).hexdigest()

    def fingerprint(self) -> str:
        """Return a sha256 of the three files."""
        return self._fingerprint

    def count(self, caption: str) -> int:
        """Return how many words of `caption` name a thing."""
        return sum(self._lemma(word) in self._things for word in caption.lower().split())

    def _lemma(self, word: str) -> str | None:
        """Return the noun that `word` is a form of, preferring the word itself; None if there is none."""
        if word in self._nouns:
            return word
        forms = self._irregular.get(word)
        if forms is None:
            forms = [word.removesuffix(ending) + stem for ending, stem in _DETACHMENTS if word.endswith(ending)]
        return next((form for form in forms if form in self._nouns), None)


def _first_sense(line: str) -> tuple[str, str]:
    """Return the lemma of a line of `index.noun` and the offset of its first synset."""
    fields = line.split()
    try:
        num_pointers = int(fields[3])
        return fields[0], fields[6 + num_pointers]
    except (IndexError, ValueError) as error:
        raise ConfigError(f"index.noun: found the line {line[:60]!r}", hint="expected WordNet's noun index") from error


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path} cannot be read: {error}", hint="check scorer.wordnet= and scorer.synsets="
        ) from error
