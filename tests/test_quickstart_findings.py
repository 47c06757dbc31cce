"""What the quickstart's page says follows its figures."""

from __future__ import annotations

from typing import Any

import pytest

from oqvl_eval.intervals import Interval
from oqvl_eval.mcnemar import mcnemar
from oqvl_eval.report import CompareReport
from quickstart_findings import compare_pictures, compare_stages, why_left_out

REASONS = ["dfn.clip_score in top(75%)", "one per rules.caption_sha", "rules.caption_count <= 4", "rules.width >= 32"]
ROW = {"width": 72, "caption_count": 1, "clip_score": 0.5, "caption_sha": "new"}
KEPT = [{**ROW, "caption_sha": "known"}]


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"width": 16}, "rules.width >= 32"),
        ({"caption_count": 5, "clip_score": -1.0}, "rules.caption_count <= 4"),
        ({"clip_score": 0.09}, "dfn.clip_score in top(75%)"),
        ({"caption_sha": "known"}, "one per rules.caption_sha"),
        ({}, ""),
    ],
)
def test_a_tile_names_the_reason_that_the_columns_tell(columns: dict[str, Any], reason: str) -> None:
    assert why_left_out({**ROW, **columns}, KEPT, REASONS, threshold=0.1) == reason


def report_of(only_a: int, only_b: int, interval: tuple[float, float]) -> CompareReport:
    """Return a comparison of 100 items, where the two agree on all but `only_a` and `only_b`."""
    difference = (only_b - only_a) / 100
    return CompareReport(
        profile="strict",
        task="names",
        model_a="a",
        model_b="b",
        images_a="given",
        images_b="given",
        num_items=100,
        num_clusters=50,
        both_correct=20,
        only_a=only_a,
        only_b=only_b,
        both_wrong=80 - only_a - only_b,
        accuracy_a=0.2 + only_a / 100,
        accuracy_b=0.2 + only_b / 100,
        difference=difference,
        confidence=0.95,
        bootstrap=Interval(low=interval[0], high=interval[1]),
        mcnemar=mcnemar(only_a, only_b),
        num_prompts_differing=0,
    )


@pytest.mark.parametrize(
    ("report", "stages", "pictures"),
    [
        (report_of(5, 30, (0.1, 0.4)), "Fine-tuning helped.", "So the model looks at the picture."),
        (report_of(30, 5, (-0.4, -0.1)), "Fine-tuning did harm.", "So the right picture misleads the model."),
        (
            report_of(11, 7, (-0.1, 0.1)),
            "This does not show that fine-tuning changes the score.",
            "This does not show that the model looks at the picture.",
        ),
        (
            report_of(5, 30, (-0.1, 0.5)),
            "This does not show that fine-tuning changes the score.",
            "This does not show that the model looks at the picture.",
        ),
    ],
    ids=["gain", "loss", "neither", "interval around zero"],
)
def test_a_comparison_claims_what_its_figures_show(report: CompareReport, stages: str, pictures: str) -> None:
    assert compare_stages(report).endswith(stages)
    assert compare_pictures(report).endswith(pictures)
    assert f"Only the pre-trained model is right on {report.only_a} items" in compare_stages(report)
