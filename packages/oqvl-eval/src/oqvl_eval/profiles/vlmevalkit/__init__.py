"""VLMEvalKit at e8e78f0.

| benchmark | module |
|---|---|
| MMMU | `mmmu` |
| MMBench | `mmbench` |
| SEED-Bench, MMStar, AI2D, ScienceQA, RealWorldQA | `option_inference` |
| TextVQA, VQAv2, OK-VQA, VizWiz | `vqa` |
| GQA | `gqa` |
| MathVista | `mathvista` |
| POPE | `pope` |
| MTVQA | `mtvqa` |
| VCR | `vcr` |

It has no Mantis-Eval. `reasoning` is what it does with reasoning if asked to. A judge model reads what the rules
cannot. Without a judge, which it calls exact matching, such an answer is wrong.
"""
