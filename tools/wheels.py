"""Build every wheel and try each one alone in a clean environment, like a user who installs only that package.

    python tools/wheels.py                    all packages
    python tools/wheels.py oqvl-pack ...      some of them
    python tools/wheels.py --installed NAME   the checks themselves, run by the clean environment's Python

A workspace hides two mistakes: a module that needs a dependency that only a sibling package declares, and a file that
is in the checkout but not in the wheel. Third-party versions are those of uv.lock.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from code_blocks import marked_block

ROOT = Path(__file__).resolve().parent.parent
TORCH_FREE = {"oqvl-eval", "oqvl-filter", "oqvl-pack", "oqvl-shards"}
FIVE_LINES = "oqvl-pack in five lines"


def build(dist: Path) -> dict[str, Path]:
    """Build all packages into `dist`, each wheel from its source distribution; return the wheels by distribution."""
    command = ["uv", "build", "--quiet", "--all-packages", "--no-sources", "--out-dir", str(dist)]
    subprocess.run(command, cwd=ROOT, check=True)
    return {path.name.split("-")[0].replace("_", "-"): path for path in sorted(dist.glob("*.whl"))}


def write_constraints(path: Path, wheels: dict[str, Path]) -> None:
    """Write what may be installed: the versions of uv.lock, and our own packages only from these wheels."""
    command = ["uv", "export", "--quiet", "--frozen", "--all-packages", "--all-extras", "--no-dev", "--no-hashes"]
    command += ["--no-annotate", "--no-header", "--no-emit-workspace"]
    locked = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    ours = [f"{name} @ {wheel.as_uri()}" for name, wheel in wheels.items()]
    path.write_text("\n".join([locked, *ours, ""]))


def try_wheel(name: str, wheel: Path, constraints: Path, environment: Path) -> None:
    """Install `wheel` into a new virtual environment and run the checks there.

    Raises:
        subprocess.CalledProcessError: If the installation or a check fails. The reason is on stderr.
    """
    python = environment / "bin" / "python"
    subprocess.run(["uv", "venv", "--quiet", "--python", sys.executable, str(environment)], check=True)
    install = ["uv", "pip", "install", "--quiet", "--python", str(python), "--constraint", str(constraints)]
    subprocess.run([*install, str(wheel)], check=True)
    subprocess.run([str(python), str(Path(__file__)), "--installed", name], cwd=environment, check=True)
    if name == "oqvl-pack":
        code = marked_block(ROOT / "README.md", FIVE_LINES).code
        subprocess.run([str(python), "-I", "-"], input=code, stdout=subprocess.DEVNULL, text=True, check=True)


def check_installed(name: str) -> list[str]:
    """Return the problems of the installed distribution `name`; an empty list if there are none."""
    distribution = importlib.metadata.distribution(name)
    files = {str(file) for file in distribution.files or ()}
    module_name = name.replace("-", "_")
    module = importlib.import_module(module_name)
    script = subprocess.run([Path(sys.prefix) / "bin" / name, "--help"], capture_output=True, text=True, check=False)
    missing = [public for public in module.__all__ if not hasattr(module, public)]
    facts = {
        "imported from outside the environment": not str(module.__file__).startswith(sys.prefix),
        "py.typed is not in the wheel": f"{module_name}/py.typed" not in files,
        "the licence is not in the wheel": not any(file.endswith("licenses/LICENSE") for file in files),
        "the licence is not named in the metadata": distribution.metadata["License-Expression"] != "Apache-2.0",
        "the README is not in the metadata": f"# {name}" not in str(distribution.metadata.json.get("description")),
        f"public names that do not exist: {missing}": bool(missing),
        f"`{name} --help` exits with {script.returncode}: {script.stderr}": script.returncode != 0,
        "torch is installed": name in TORCH_FREE and importlib.util.find_spec("torch") is not None,
    }
    return [f"{name}: {problem}" for problem, is_there in facts.items() if is_there]


def main(arguments: list[str]) -> int:
    """Build and try the wheels of the packages that `arguments` names, or of all; return the exit status."""
    if arguments[:1] == ["--installed"]:
        problems = check_installed(arguments[1])
        print("\n".join(problems), end="", file=sys.stderr)
        return int(bool(problems))
    scratch_parent = ROOT / "build"  # on the file system of .venv, where uv can link from its cache
    scratch_parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch_parent, prefix="wheels-") as scratch:
        wheels = build(Path(scratch) / "dist")
        if unknown := set(arguments) - set(wheels):
            print(f"no such package: {sorted(unknown)}; there are {sorted(wheels)}", file=sys.stderr)
            return 2
        constraints = Path(scratch) / "constraints.txt"
        write_constraints(constraints, wheels)
        for name in arguments or wheels:
            start = time.monotonic()
            with tempfile.TemporaryDirectory(dir=scratch, prefix=f"{name}-") as environment:
                try:
                    try_wheel(name, wheels[name], constraints, Path(environment) / "venv")
                except subprocess.CalledProcessError as error:
                    print(f"{name}: {error}", file=sys.stderr)
                    return 1
            print(f"{name}: wheel works alone ({time.monotonic() - start:.0f} s)", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
