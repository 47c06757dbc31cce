from __future__ import annotations

from typing import Any

import pytest

from oqvl_model.conversion.tokenizer import make_processor
from oqvl_shards.errors import ConfigError


def test_a_processor_has_the_special_tokens_and_fits_the_embedding(tmp_path, tokenizer_json):
    values: dict[str, Any] = {"image_size": 24, "visual_tokens_per_image": 4, "chat_template": "chatml"}
    with pytest.raises(ConfigError, match=r"text_directory: .*tokenizer\.json cannot be read"):
        make_processor(tmp_path, "text_directory", num_rows=320, **values)
    (tmp_path / "tokenizer.json").write_bytes(tokenizer_json)
    assert make_processor(tmp_path, "source", num_rows=300, **values).tokenizer_json == tokenizer_json
    processor = make_processor(tmp_path, "source", num_rows=302, image_token="<picture>", **values)
    assert processor.image_token_id == 301
    with pytest.raises(ConfigError, match="ids up to 301 with its special tokens, but the decoder's embedding has 301"):
        make_processor(tmp_path, "source", num_rows=301, image_token="<picture>", **values)
