from __future__ import annotations

from types import ModuleType

from oqvl_eval.profiles.lmms import gqa
from oqvl_eval.profiles.official import mtvqa, pope
from oqvl_eval.scoring_rules.task_rules import kept_bugs


def documented(text: str) -> ModuleType:
    return ModuleType("documented", text)


def test_the_bugs_are_those_of_the_docstring():
    text = "Rules.\n\nBugs kept, beside those of `x.y`:\n\n- One\n  line.\n- Another.\n\nThe rest is: text.\n"
    assert kept_bugs(documented(text)) == ("One line.", "Another.")
    assert kept_bugs(documented("Rules.\n\nBug kept: only this\none.\n\nMore.")) == ("only this one.",)
    assert kept_bugs(documented("Rules, and no bugs."), documented("Bugs kept:\n\n- A.\n")) == ("A.",)


def test_the_bugs_of_the_profiles_are_found():
    assert len(kept_bugs(pope)) == 2
    assert kept_bugs(pope)[0] == "An answer that does not say no means yes, even if it is empty or a refusal."
    assert kept_bugs(mtvqa, gqa) == (
        'periods are removed from answers but not from golds, so a gold with a period, such as "3.5", is never found.',
    )
