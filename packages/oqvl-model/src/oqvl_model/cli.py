"""The command line `oqvl-model`."""

from __future__ import annotations

import typer

from oqvl_model.config import ConvertConfig, GenerateConfig, InitConfig, ShowConfig
from oqvl_shards.command_line import Report, add_stage, new_app
from oqvl_shards.errors import run_cli

app = new_app("Build, inspect and query Open-Qwen2VL models.", "oqvl-model")


add_stage(
    app,
    "init",
    InitConfig,
    "oqvl_model.run:init",
    text="Build a model directory.\n\n"
    "The tokenizer is copied, with missing special tokens added. "
    "The vision tower and the decoder start from fresh weights or from local files.",
)
add_stage(
    app,
    "convert",
    ConvertConfig,
    "oqvl_model.run:convert",
    text="Convert a model of another layout.\n\n"
    "The released Open-Qwen2VL weights, Prismatic VLMs, LLaVA and checkpoints of oqvl-train become model directories. "
    "Every key of the source is mapped, or reported as left out with the reason.",
)
add_stage(
    app,
    "show",
    ShowConfig,
    "oqvl_model.run:show",
    text="Count a model's parameters, visual tokens and operations.",
)


def generate(config: GenerateConfig) -> Report:
    """Answer one prompt. Report an empty answer on stderr, because it would look like a failure to print."""
    from oqvl_model import run

    report = run.generate(config)
    if not report.answer.strip():
        typer.echo("(empty answer)", err=True)
    return report


add_stage(app, "generate", GenerateConfig, generate, text="Answer one prompt, with or without image files.")


def main() -> None:
    """Run the command line."""
    run_cli(app)
