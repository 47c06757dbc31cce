"""Scoring rules of other harnesses: one set of answers can be scored the way each of them scores it.

One room per harness, one module per benchmark:

| room | harness | commit |
|---|---|---|
| `official` | the benchmarks' own scripts | MMMU bb0b95a, MMStar 88f243a, POPE 08d957b, MathVista 53d5258, Mantis f3a3192, MTVQA efc6a78, LLaVA c121f04 (ScienceQA, TextVQA, SEED-Bench, GQA) |
| `lmms` | lmms-eval | 75571cf |
| `vlmevalkit` | VLMEvalKit | e8e78f0 |
| `lm_eval` | lm-evaluation-harness | 4e7e0d4 |
| `paper` | the harness published with Open-Qwen2VL | 0d76f9f |

Every module exposes the steps in which the harnesses differ, and `credit`: the score of one answer between 0 and 1. The
bugs of a harness are reproduced and listed in the docstring of the module, because they are in its published numbers.

Nothing here is random. Where a harness guesses, the step returns a `Draw` and `credit` returns the expected score. Where
it asks a judge model, the step or `credit` returns a `NeedsJudge`.

The modules directly in this room hold what several harnesses share.
"""  # noqa: E501
