"""Check the layout of the packages: the same front rooms everywhere, tests that mirror the source, honest names.

    python tools/house.py           print one line per broken rule; exit with 1 if there is any
    python tools/house.py --longest also print the longest functions

Rules that ruff and import-linter can check (a sorted `__all__`, where a heavy import may be, which package may import
which) are in their configuration. The rules here are the ones that no linter knows.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

FRONT_ROOMS = ("cli.py", "config.py", "report.py", "run.py")
MEMBER_FILES = ("CHANGELOG.md", "LICENSE", "README.md", "pyproject.toml")
UNTELLING_NAMES = {"common", "core", "helper", "helpers", "misc", "tools", "util", "utils"}
MAX_FUNCTION_LINES = 50
MAX_PUBLIC_NAMES = 20
MAX_MODULES = 30
MANY_ROOMS = 15

Function = ast.FunctionDef | ast.AsyncFunctionDef


def sources(member: Path) -> Iterator[Path]:
    """Yield the modules of a workspace member's import package."""
    yield from sorted(member.glob("src/*/**/*.py"))


def check_front_rooms(member: Path) -> Iterator[str]:
    """Every member has the same front rooms, so if you know one, you know all."""
    package = member / "src" / member.name.replace("-", "_")
    expected = [member / name for name in MEMBER_FILES]
    expected += [package / name for name in ("__init__.py", "py.typed", *FRONT_ROOMS)]
    for path in expected:
        if not path.is_file():
            yield f"{path.relative_to(ROOT)}: missing"


def check_module_counts(member: Path) -> Iterator[str]:
    """No directory of a package has more modules than a reader can keep in mind."""
    directories = {path.parent for path in sources(member)}
    for directory in sorted(directories):
        count = sum(path.name != "__init__.py" for path in directory.glob("*.py"))
        if count > MAX_MODULES:
            yield f"{directory.relative_to(ROOT)}: {count} modules, expected at most {MAX_MODULES}; cut it into wings"


def crowded_packages() -> Iterator[str]:
    """Yield the packages with many modules in front. This is allowed, but worth a look."""
    for package in sorted(ROOT.glob("packages/*/src/*")):
        rooms = [path.stem for path in package.glob("*.py") if path.name != "__init__.py"]
        rooms += [path.parent.name for path in package.glob("*/__init__.py")]
        if len(rooms) > MANY_ROOMS:
            yield f"{package.relative_to(ROOT)}: {len(rooms)} rooms behind the front door"


def check_tests_mirror(member: Path) -> Iterator[str]:
    """A module `a/b.py` with any function is tested in `tests/a/test_b.py`, or in several `tests/a/test_b_*.py`.

    One of them imports the module, a name from it, or a name of it that a package's `__init__` passes on: a test that
    has the module's name and never touches it tests something else.
    """
    (package,) = member.glob("src/*")
    for path in sources(member):
        if path.name == "__init__.py" or not any(function_lengths(path)):
            continue
        directory = member / "tests" / path.relative_to(package).parent
        tests = sorted({*directory.glob(f"test_{path.stem}.py"), *directory.glob(f"test_{path.stem}_*.py")})
        wanted = (directory / f"test_{path.stem}.py").relative_to(ROOT)
        module = ".".join(path.relative_to(package.parent).with_suffix("").parts)
        if not tests:
            yield f"{wanted}: missing; it would test {module}"
        elif not any(module in imported_modules(test, package.parent) for test in tests):
            yield f"{wanted}: imports nothing from {module}"


def imported_modules(test: Path, source: Path) -> set[str]:
    """Return the dotted modules below `source` that `test` imports, or imports a name from."""
    modules = set()
    for module, name in imports(test):
        modules |= {module, f"{module}.{name}"}
        init = source.joinpath(*module.split("."), "__init__.py")
        if init.exists():
            modules |= {origin for origin, passed_on in imports(init) if passed_on == name}
    return modules


def imports(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (module, name) of every import in the file at `path`; the name is empty for `import module`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)


def check_names(paths: Iterator[Path]) -> Iterator[str]:
    """A module is named by its content. A name that fits any content says nothing."""
    for path in paths:
        if path.stem in UNTELLING_NAMES or path.parent.name in UNTELLING_NAMES - {"tools"}:
            yield f"{path.relative_to(ROOT)}: the name says nothing about the content"


def check_public_names(member: Path) -> Iterator[str]:
    """The package's `__init__` lists its public names, and the list is short."""
    (init,) = member.glob("src/*/__init__.py")
    for node in ast.parse(init.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            count = len(ast.literal_eval(node.value))
            if count > MAX_PUBLIC_NAMES:
                yield f"{init.relative_to(ROOT)}: {count} public names, expected at most {MAX_PUBLIC_NAMES}"
            return
    yield f"{init.relative_to(ROOT)}: no __all__"


def function_lengths(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (lines without signature and docstring, "file:line name") of every function in `path`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, Function):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            length = (node.end_lineno or 0) - body[0].lineno + 1 if body else 0
            yield length, f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"


def check_function_lengths(paths: Iterator[Path]) -> Iterator[str]:
    """A function fits on a screen."""
    for path in paths:
        for length, where in function_lengths(path):
            if length > MAX_FUNCTION_LINES:
                yield f"{where}: {length} lines, expected at most {MAX_FUNCTION_LINES}"


def python_files() -> Iterator[Path]:
    """Yield every Python file of the packages, the examples, the tools and the recipes."""
    for folder in ("examples", "packages", "recipes", "tests", "tools"):
        yield from sorted((ROOT / folder).rglob("*.py"))


def problems() -> Iterator[str]:
    """Yield a line per broken rule."""
    for member in sorted(ROOT.glob("packages/*")):
        yield from check_front_rooms(member)
        yield from check_module_counts(member)
        yield from check_tests_mirror(member)
        yield from check_public_names(member)
    yield from check_names(python_files())
    yield from check_function_lengths(python_files())


def main(arguments: list[str]) -> int:
    if arguments not in ([], ["--longest"]):
        print(__doc__)
        return 2
    if arguments:
        lengths = [entry for path in python_files() for entry in function_lengths(path)]
        print("\n".join(f"{length:4d}  {where}" for length, where in sorted(lengths, reverse=True)[:20]))
    for note in crowded_packages():
        print(f"note: {note}")
    found = list(problems())
    print("\n".join(found) or "layout: every rule holds")
    return int(bool(found))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
