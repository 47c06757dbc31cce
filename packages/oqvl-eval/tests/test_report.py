from __future__ import annotations

import json

from oqvl_eval import CompareConfig, ScoreConfig, compare, evaluate, score
from oqvl_eval.report import CompareReport, EvalReport, ScoreReport


def test_reports_survive_json(evaluation):
    asked = evaluate(evaluation(mode="likelihood"))
    scored = score(ScoreConfig(predictions=evaluation().output))
    compared = compare(CompareConfig(a=evaluation().output, b=evaluation().output))
    for report, kind in ((asked, EvalReport), (scored, ScoreReport), (compared, CompareReport)):
        assert kind.model_validate(json.loads(report.model_dump_json())) == report


def test_tables_line_up_and_end_without_spaces(evaluation):
    evaluate(evaluation())
    text = score(ScoreConfig(predictions=evaluation().output)).table()
    assert all(line == line.rstrip() for line in text.splitlines())
    rows = [line for line in text.splitlines() if line.startswith(("all", "cold", "warm", "whole"))]
    assert len({line.index("100.0") for line in rows}) == 1
    assert "letters     A 8/8, B 4/4, C 4/4, D 4/4 (read/right)" in text
