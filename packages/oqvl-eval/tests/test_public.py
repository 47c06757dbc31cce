from __future__ import annotations

import subprocess
import sys

import pytest

import oqvl_eval


def test_every_public_name_is_there():
    assert oqvl_eval.__all__ == sorted(oqvl_eval.__all__)
    assert all(getattr(oqvl_eval, name).__module__.startswith("oqvl_eval.") for name in oqvl_eval.__all__)


def test_other_names_are_not():
    with pytest.raises(AttributeError, match="no attribute 'Evaluator'"):
        oqvl_eval.Evaluator  # noqa: B018


def test_the_package_and_its_command_line_import_little():
    heavy = ("torch", "transformers", "numba", "open_clip", "webdataset", "ray", "pyarrow", "numpy", "PIL")
    code = f"import sys, oqvl_eval, oqvl_eval.cli; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_no_stage_imports_a_model_framework():
    heavy = ("torch", "transformers", "numba", "open_clip", "webdataset", "ray")
    code = f"import sys, oqvl_eval.run; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
