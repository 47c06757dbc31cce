"""The benchmarks' own scoring scripts.

| benchmark | module | script |
|---|---|---|
| MMMU | `mmmu` | MMMU bb0b95a |
| MMBench | `mmbench` | its organisers score with VLMEvalKit (e8e78f0), here without a judge |
| SEED-Bench | `seedbench` | the lowest-loss rule of its authors; the exact letter of LLaVA c121f04 |
| MMStar | `mmstar` | MMStar 88f243a |
| ScienceQA | `scienceqa` | LLaVA c121f04 |
| Mantis-Eval | `mantis` | Mantis f3a3192 |
| TextVQA, VQAv2, OK-VQA, VizWiz | `vqa` | the M4C evaluator in LLaVA c121f04 |
| GQA | `gqa` | LLaVA c121f04 prepares the answers, GQA's script compares them |
| MathVista | `mathvista` | MathVista 53d5258 |
| POPE | `pope` | POPE 08d957b, the same rule in LLaVA c121f04 |
| MTVQA | `mtvqa` | MTVQA efc6a78 |

AI2D, RealWorldQA and VCR have no script of their own at a known commit, so there is nothing to reproduce.
"""
