"""Scorers read samples and return numbers about them.

A built-in scorer is one file of this room. It holds the scorer's configuration, whose `build(limits)` returns the
scorer, and the scorer itself, a `Scorer` (`oqvl_filter.scorers.scorer`). To add one:

1. write `scorers/NAME.py` with `NameScorerConfig(BaseScorerConfig)` and `NameScorer`;
2. add the configuration to the union in `scorers/config.py` and to the front room `config.py`;
3. test it in `tests/scorers/test_NAME.py`, and add a row to the table of scorers in the README.

Importing such a file must stay cheap, because every command line reads the configurations: torch, open_clip,
transformers, timm, pyarrow and pillow are imported inside the functions that use them.

A scorer in a package of your own needs none of this: `scorer.name=custom` binds it by the dotted path of its factory.
"""
