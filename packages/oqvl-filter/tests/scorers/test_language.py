from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from oqvl_filter.scorers.language import FasttextIdentifier
from oqvl_shards.errors import ConfigError, MissingExtraError


class Model:
    """Says English for texts with "the", and cannot read line breaks, as fastText cannot."""

    def predict(self, text: str, k: int):
        assert k == 1 and "\n" not in text
        if not text:
            return (), ()
        return (("__label__en",), (1.0000001,)) if "the" in text else (("__label__de",), (0.5,))


def test_languages_have_a_code_and_a_probability(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "fasttext", SimpleNamespace(load_model=lambda path: Model()))
    (tmp_path / "lid.bin").write_bytes(b"weights")
    identifier = FasttextIdentifier(str(tmp_path / "lid.bin"))
    assert identifier.identify(["on\nthe mat", "auf der Matte", ""]) == [("en", 1.0), ("de", 0.5), ("", 0.0)]
    before = identifier.fingerprint()
    (tmp_path / "lid.bin").write_bytes(b"others")
    assert FasttextIdentifier(str(tmp_path / "lid.bin")).fingerprint() != before
    with pytest.raises(ConfigError, match="there is no language model"):
        FasttextIdentifier(str(tmp_path / "none.bin"))


def test_without_the_extra_it_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "fasttext", None)
    with pytest.raises(MissingExtraError, match="language"):
        FasttextIdentifier(str(tmp_path / "lid.bin"))
