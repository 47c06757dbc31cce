"""lmms-eval at 75571cf.

| benchmark | module |
|---|---|
| MMMU | `mmmu` |
| MMBench | `mmbench` |
| SEED-Bench | `seedbench` |
| MMStar | `mmstar` |
| AI2D | `ai2d` |
| ScienceQA | `scienceqa` |
| RealWorldQA | `realworldqa` |
| Mantis-Eval | `mantis` |
| TextVQA, VQAv2, OK-VQA, VizWiz | `vqa` |
| GQA | `gqa` |
| MathVista | `mathvista` |
| POPE | `pope` |
| MTVQA | `mtvqa` |
| VCR | `vcr` |

The command line of lmms-eval removes reasoning from every answer before these rules see it: `reasoning`. `letter` and
`exact_match` are what several benchmarks share.
"""
