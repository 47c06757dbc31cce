"""The language of a caption, told by an identifier that a configuration binds by its dotted path."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from oqvl_filter.scorers.weights import digest_file
from oqvl_shards.errors import ConfigError, require_extra


class LanguageIdentifier(Protocol):
    """Identifies the language of texts."""

    def fingerprint(self) -> str:
        """Return a sha256 of everything that decides the answers."""
        ...

    def identify(self, texts: Sequence[str]) -> list[tuple[str, float]]:
        """Return a language code (`en`) per text and the probability that it is right; ("", 0) if there is none."""
        ...


class FasttextIdentifier:
    """A fastText language model such as lid.176 (Joulin et al., 2016, arXiv 1612.03651), which DataComp's rules use.

    A line break in a text counts as a space, as in DataComp.

    Args:
        model: The model's file, `.bin` or `.ftz`.

    Raises:
        MissingExtraError: If the extra `language` is not installed.
        ConfigError: If the model cannot be loaded.
    """

    def __init__(self, model: str) -> None:
        with require_extra("oqvl-filter", "language"):
            import fasttext  # pyrefly: ignore
        path = Path(model)
        if not path.is_file():
            raise ConfigError(f"there is no language model at {path}", hint="check scorer.language_options.model=")
        try:
            self._model: Any = fasttext.load_model(str(path))
        except (ValueError, RuntimeError, MemoryError) as error:
            raise ConfigError(f"{path} is not a fastText model: {error}") from error
        self._digest = digest_file(path)

    def fingerprint(self) -> str:
        """Return a sha256 of the model's file."""
        return hashlib.sha256(f"fasttext {self._digest}".encode()).hexdigest()

    def identify(self, texts: Sequence[str]) -> list[tuple[str, float]]:
        """Return the most likely language of each text and its probability."""
        return [self._identify(text.replace("\n", " ")) for text in texts]

    def _identify(self, text: str) -> tuple[str, float]:
        labels, probabilities = self._model.predict(text, k=1)
        if not len(labels):
            return "", 0.0
        return str(labels[0]).removeprefix("__label__"), min(float(probabilities[0]), 1.0)
