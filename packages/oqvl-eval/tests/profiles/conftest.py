"""Known answers: what the functions of the harnesses themselves returned at the commits the profiles speak for.

`known_answers/<room>/<module>.json` maps the name of a step to a list of [arguments, result]. A random draw is stored
as `{"draw": number of candidates}`, a question to a judge as `{"judge": true}`, a number that is not finite as text.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from oqvl_eval.profiles.markers import Draw, NeedsJudge
from oqvl_eval.profiles.rotation import Rotation

ROOM = Path(__file__).parent


def plain(value: object) -> object:
    """Write a result the way the tables store it."""
    if isinstance(value, Draw):
        return {"draw": value.num_candidates}
    if isinstance(value, NeedsJudge):
        return {"judge": True}
    if isinstance(value, int | float):
        return float(value) if math.isfinite(value) else str(float(value))
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def equal(result: object, expected: object) -> bool:
    """Compare two plain values; numbers may differ in the last digits."""
    if isinstance(expected, float):
        return isinstance(result, float) and math.isclose(result, expected, rel_tol=1e-9, abs_tol=1e-12)
    if isinstance(expected, dict):
        return (
            isinstance(result, dict)
            and result.keys() == expected.keys()
            and all(equal(result[key], expected[key]) for key in expected)
        )
    if isinstance(expected, list):
        return isinstance(result, list) and len(result) == len(expected) and all(map(equal, result, expected))
    return type(result) is type(expected) and result == expected


@pytest.fixture
def check(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Compare a step with its known answers, which are found by the place of the test and the name of the step."""
    module = request.path.relative_to(ROOM).with_name(f"{request.path.stem.removeprefix('test_')}.json")
    tables = json.loads((ROOM / "known_answers" / module).read_text(encoding="utf-8"))

    def compare(step: Callable[..., object], name: str = "") -> None:
        cases = tables[name or step.__name__]
        assert cases
        wrong = []
        for arguments, expected in cases:
            result = plain(step(*arguments))
            if not equal(result, expected):
                wrong.append((arguments, result, expected))
        assert wrong == []

    return compare


@pytest.fixture
def as_rotations() -> Callable[[list[list]], list[Rotation]]:
    return lambda rows: [Rotation(*row) for row in rows]
