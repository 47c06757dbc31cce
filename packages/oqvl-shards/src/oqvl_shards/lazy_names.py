"""Load the public names of a package at first use. A command line then imports only what it runs.

A package lists its names once for type checkers, in `if TYPE_CHECKING:` imports, and once for readers, in `__all__`.
The first list also drives the imports at run time:

    if TYPE_CHECKING:
        from oqvl_shards.dataset import Dataset, open_dataset

    __all__ = ["Dataset", "open_dataset"]

    __getattr__ = lazy_names(__name__, __file__)
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any


def lazy_names(package: str, file: str) -> Callable[[str], Any]:
    """Return a `__getattr__` for a package, which loads each name at first use.

    Args:
        package: `__name__` of the package.
        file: `__file__` of the package. Its source is parsed at the first access to a name.
    """
    module_of: dict[str, str] = {}

    def load(name: str) -> Any:
        if not module_of:
            module_of.update(_imports_for_type_checkers(Path(file)))
        if name not in module_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(module_of[name]), name)

    return load


def _imports_for_type_checkers(path: Path) -> dict[str, str]:
    """Return the module of every name that is imported under `if TYPE_CHECKING:` in the file at `path`."""
    return {
        alias.name: statement.module
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for statement in node.body
        if isinstance(statement, ast.ImportFrom) and statement.module
        for alias in statement.names
    }
