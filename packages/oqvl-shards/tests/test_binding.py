from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Protocol

import pytest

from oqvl_shards.binding import bind, protocol_members
from oqvl_shards.errors import ConfigError, DataError

MODULE = """
import functools
from oqvl_shards.errors import DataError

class Speaker:
    loud = True
    def __init__(self, name, *, times=1):
        self.name, self.times = name, times
    def speak(self, text):
        return " ".join([text] * self.times)
    @classmethod
    def pair(cls, name):
        return cls(name, times=2)

class Mute:
    loud = False

class Slot:
    loud = True
    speak = "not a method"

class Late:
    def __getattr__(self, name):
        if name in ("loud", "speak"):
            return print
        raise AttributeError(name)

class Heavy(Speaker):
    @property
    def loud(self):
        raise MemoryError("a property was run")

def broken(name):
    raise TypeError("broken() got an unexpected keyword argument 'inner'")

def refusing(name):
    raise DataError("the weights are damaged", hint="fetch them again")

def interrupted(name):
    raise KeyboardInterrupt

partial = functools.partial(Speaker, times=3)
NUMBER = 3
"""


class Speaking(Protocol):
    loud: bool

    def speak(self, text: str) -> str: ...


@pytest.fixture(autouse=True)
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {
        "speakers.py": MODULE,
        "failing.py": "1 / 0\n",
        "needy.py": "import no_such_dependency\n",
        "refused.py": "from oqvl_shards.errors import DataError\nraise DataError('not here')\n",
        "lazy/__init__.py": "def __getattr__(name):\n    import no_such_dependency\n",
        "garbled.py": "def (\n",
        "pack/__init__.py": "",
        "pack/inner.py": "from speakers import Speaker\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("speakers", "failing", "garbled", "lazy", "needy", "refused", "pack", "pack.inner"):
        monkeypatch.delitem(sys.modules, name, raising=False)


def bound(path: str, **options: Any) -> Speaking:
    return bind(path, Speaking, "Ada", key="speaker", options=options)


@pytest.mark.parametrize(
    ("path", "options", "said"),
    [
        ("speakers:Speaker", {}, "hi"),
        ("speakers:Speaker", {"times": 2}, "hi hi"),
        ("speakers:Speaker.pair", {}, "hi hi"),
        ("speakers:partial", {}, "hi hi hi"),
        ("pack.inner:Speaker", {}, "hi"),
    ],
)
def test_a_factory_is_called_with_arguments_and_options(path: str, options: dict[str, Any], said: str) -> None:
    speaker = bound(path, **options)
    assert speaker.speak("hi") == said


def test_parts_that_come_late_count_and_properties_are_not_run() -> None:
    bind("speakers:Late", Speaking, key="speaker")
    bound("speakers:Heavy")


@pytest.mark.parametrize(
    ("path", "message", "hint"),
    [
        ("", "speaker='' is not a dotted path", "write package.module:factory"),
        ("speakers", "is not a dotted path", "write package.module:factory"),
        (":Speaker", "is not a dotted path", "write package.module:factory"),
        ("speakers:", "is not a dotted path", "write package.module:factory"),
        (".speakers:Speaker", "is not a dotted path", "write package.module:factory"),
        ("absent:Speaker", "there is no module absent", "PYTHONPATH"),
        ("pack.absent:Speaker", r"there is no module pack\.absent", "PYTHONPATH"),
        ("speakers.inner:Speaker", r"there is no module speakers\.inner", "PYTHONPATH"),
        (
            "needy:Speaker",
            "importing needy raised ModuleNotFoundError: No module named 'no_such_dep.*needy.py:1",
            "fix",
        ),
        ("failing:Speaker", r"importing failing raised ZeroDivisionError: .*failing\.py:1", "fix that module"),
        ("speakers:Speakr", "speakers has no attribute 'Speakr'", r"did you mean Speaker\?"),
        ("speakers:Xylophone", "has no attribute 'Xylophone'", "it has Heavy, Late, Mute, Slot, Speaker, broken"),
        ("pack.inner:Xylophone", "has no attribute 'Xylophone'", "check the spelling"),
        ("speakers:Speaker.trio", "speakers has no attribute 'Speaker.trio'", "pair"),
        ("speakers:NUMBER.absent", "speakers has no attribute 'NUMBER.absent'", "check the spelling"),
        ("lazy:Speaker", r"reading Speaker raised ModuleNotFoundError: .*lazy/__init__\.py:\d+", "fix that module"),
        ("garbled:Speaker", r"importing garbled raised SyntaxError: .*garbled\.py.* \(.*\.py:\d+\)", "fix that module"),
        ("speakers:NUMBER", "is of type int, expected a class or a function", "name the factory"),
        ("speakers:broken", r"the factory raised TypeError: .*'inner' \(.*speakers\.py:\d+\)", "fix the factory"),
        ("speakers:Mute", r"cannot be called without options: too many", r"its signature is \(\)"),
    ],
)
def test_what_cannot_be_bound_is_told(path: str, message: str, hint: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        bound(path)
    assert caught.match(hint)


def test_options_that_do_not_fit_are_named_with_where_they_come_from() -> None:
    with pytest.raises(ConfigError, match=r"speaker='speakers:Speaker' does not take the options \['size'\]") as caught:
        bound("speakers:Speaker", size=3)
    assert "(name, *, times=1)" in caught.value.hint
    assert "speaker_options.NAME=VALUE" in caught.value.hint
    with pytest.raises(ConfigError) as caught:
        bind("speakers:Speaker", Speaking, key="scorer.factory", options={"a": 1}, options_key="scorer.options")
    assert "scorer.options.NAME=VALUE" in caught.value.hint


@pytest.mark.parametrize(("name", "missing"), [("Mute", "speak"), ("Slot", "speak")])
def test_a_product_that_lacks_a_part_of_the_protocol_is_refused(name: str, missing: str) -> None:
    with pytest.raises(ConfigError, match=f"makes a {name} without {missing}\n") as caught:
        bind(f"speakers:{name}", Speaking, key="speaker")
    assert f"{__name__}.Speaking" in caught.value.hint


def test_the_errors_and_the_interrupts_of_a_factory_are_its_own() -> None:
    with pytest.raises(DataError, match="the weights are damaged"):
        bound("speakers:refusing")
    with pytest.raises(DataError, match="not here"):
        bound("refused:anything")
    with pytest.raises(KeyboardInterrupt):
        bound("speakers:interrupted")


def test_the_members_of_a_protocol_are_public_and_inherited() -> None:
    class Louder(Speaking, Protocol):
        def shout(self) -> None: ...

        def _hidden(self) -> None: ...

    assert protocol_members(Louder) == ["loud", "shout", "speak"]
