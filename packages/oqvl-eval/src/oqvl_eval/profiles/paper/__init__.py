"""The harness published with Open-Qwen2VL (0d76f9f), which produced the figures of the paper.

| benchmark | module |
|---|---|
| MMBench, SEED-Bench, MMStar, Mantis-Eval | `substring` |
| MMMU | `mmmu` |
| AI2D | `ai2d` |
| TextVQA, VQAv2, OK-VQA, VizWiz | `vqa` |
| GQA | `gqa` |
| MathVista | `mathvista` |
| POPE | `pope` |

It has no RealWorldQA, ScienceQA, MTVQA or VCR. `answer_text` is what it does to short answers before it stores them.
"""
