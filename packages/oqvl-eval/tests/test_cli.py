from __future__ import annotations

import json
import sys

import pytest

from oqvl_eval import cli


@pytest.fixture
def command(evaluation, tmp_path, monkeypatch, capsys):
    """Run `oqvl-eval` in this process, in the folder that holds the datasets; return (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["oqvl-eval", *arguments])
        with pytest.raises(SystemExit) as ending:
            cli.main()
        captured = capsys.readouterr()
        return int(ending.value.code or 0), captured.out, captured.err

    return run


ASK = ("benchmark=benchmark", "checkpoint=seer", "answerer=colour_answerer:ColourAnswerer")


def test_a_day_with_the_command_line(command, tmp_path):
    code, out, _ = command("run", *ASK, "output=a")
    assert (code, "20 (0 from an earlier run)" in out) == (0, True)
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        'benchmark = "benchmark"\ncheckpoint = "seer"\nanswerer = "colour_answerer:ColourAnswerer"\n'
        '[answerer_options]\nblind_to = ["blue"]\n[prompt]\nanswer_cue = "So:"\n'
    )
    assert command("run", "-c", str(recipe), "output=b")[0] == 0
    code, out, _ = command("score", "predictions=b")
    assert code == 0
    assert [line.split() for line in out.splitlines() if line.startswith("all")] == [
        ["all", "20", "75.0", "[53.1,", "88.8]", "[75.0,", "75.0]", "by", "cluster"]
    ]
    code, out, _ = command("compare", "a=a", "b=b")
    assert "exact                         0   0.0625" in out
    assert "the interval allows for that" in out
    code, out, _ = command("compare", "a=a", "b=b", "--json")
    assert json.loads(out)["only_a"] == 5
    code, out, _ = command("show", "dataset=b", "only=wrong", "limit=1")
    assert "5 matching items, 1 shown" in out
    assert "wrong" in out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("run",), 3, "benchmark: is required but not set"),
        (("run", *ASK, "output=x", "mode=guess"), 3, "mode: Input should be 'generate' or 'likelihood'; found 'guess'"),
        (("run", *ASK, "output=x", "temprature=1"), 3, "temprature: no such field"),
        (("run", *ASK[1:], "output=x", "benchmark=none"), 3, "error: none "),
        (("run", *ASK[:-1], "output=x", "answerer=colours:X"), 3, "there is no module colours"),
        (("score", "predictions=seer"), 3, "of kind checkpoint, expected predictions"),
        (("import", "source=none.jsonl", "output=x", "task=t"), 5, "none.jsonl cannot be read"),
        (("score", "-c", "none.toml"), 3, "no configuration file at none.toml"),
    ],
)
def test_mistakes_end_in_a_sentence(command, arguments, code, message):
    found, out, error = command(*arguments)
    assert (found, out) == (code, "")
    assert error.startswith("error: ")
    assert message in error
    assert "Traceback" not in error


def test_help_lists_the_fields(command):
    code, out, _ = command("run", "--help")
    assert code == 0
    assert '    prompt.answer_cue ("Answer:")\n        last line of every item, style completion\n' in out


def test_profiles_stand_side_by_side(command):
    command("run", *ASK, "output=a", 'answerer_options.blind_to=["blue"]')
    code, out, _ = command("score", "predictions=a", 'profiles=["strict","lmms","paper"]')
    assert code == 0
    table = out[out.index("profile ") :].splitlines()
    assert [line.split()[:4] for line in table[1:4]] == [
        ["strict", "accuracy", "75.0", "75.0"],
        ["lmms", "accuracy", "75.0", "75.0"],
        ["paper", "accuracy", "75.0", "75.0"],
    ]
    assert table[4] == "spread of accuracy 0.0 points; 0 of 20 answers are judged differently"
    code, out, _ = command("score", "predictions=a", 'profiles=["lmms"]', "--json")
    assert json.loads(out)["profiles"] is None
    code, _, error = command("score", "predictions=a", 'profiles=["lenient"]')
    assert (code, "profiles" in error, "'strict', 'official', 'lmms'" in error) == (3, True, True)
