"""Keep `uv.lock` free of addresses. The committed lock then works with any package index.

uv writes the address and the hash of every file into its lock. The committed form keeps every name, version, dependency
and marker, and drops the rest. uv treats it as incomplete and completes it, at the same versions, on the next `uv sync`
or `uv lock`. Stripping is idempotent.

    python tools/lock.py            rewrite uv.lock in the agnostic form
    python tools/lock.py --check    fail if uv.lock names an address, or if completing it would change a version
    python tools/lock.py --filter   a git clean filter: complete lock on stdin, agnostic lock on stdout
    python tools/lock.py --install-filter   make this clone's git strip the lock on every `git add`
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "uv.lock"
SOURCE = re.compile(r'\{ registry = "[^"]*" \}')
DROPPED = re.compile(r"^(sdist = |wheels = |requires-dist = )")
FILTER_COMMAND = "python3 tools/lock.py --filter"


def strip(text: str) -> str:
    """Return the agnostic form of the lock `text`: no address, no hash, no `requires-dist`."""
    kept: list[str] = []
    inside_dropped_list = False
    for line in text.splitlines():
        if inside_dropped_list:
            inside_dropped_list = line != "]"
        elif DROPPED.match(line):
            inside_dropped_list = line.endswith("[")
        else:
            kept.append(SOURCE.sub('{ registry = "registry" }', line))
    return drop_empty_metadata(kept)


def drop_empty_metadata(lines: list[str]) -> str:
    """Remove `[package.metadata]` headers that have lost their only entry, and double blank lines."""
    text = "\n".join(lines)
    text = re.sub(r"\[package\.metadata\]\n(?=\n|$|\[)", "", text)
    return re.sub(r"\n{3,}", "\n\n", text).rstrip("\n") + "\n"


def versions(text: str) -> set[tuple[str, str]]:
    """Return the (name, version) of every package in the lock `text`."""
    return {(package["name"], package.get("version", "")) for package in tomllib.loads(text)["package"]}


def complete(text: str) -> str:
    """Return the lock that uv makes from the agnostic lock `text`. The checkout is not changed."""
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch)
        for pyproject in [ROOT / "pyproject.toml", *sorted(ROOT.glob("packages/*/pyproject.toml"))]:
            target = copy / pyproject.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(pyproject.read_text())
        (copy / "uv.lock").write_text(text)
        subprocess.run(["uv", "lock", "--quiet"], cwd=copy, check=True)
        return (copy / "uv.lock").read_text()


def check() -> list[str]:
    """Return the problems of the lock; an empty list if there are none."""
    agnostic = strip(LOCK.read_text())
    problems = []
    if "://" in agnostic:
        problems.append("uv.lock still holds an address after stripping; tools/lock.py must learn a new field of uv's")
    committed = subprocess.run(["git", "show", ":uv.lock"], cwd=ROOT, capture_output=True, text=True, check=False)
    if committed.returncode == 0 and "://" in committed.stdout:
        problems.append("the staged uv.lock names an address; run `python tools/lock.py`, then `git add uv.lock`")
    completed = complete(agnostic)
    if changed := versions(completed) ^ versions(agnostic):
        problems.append(f"completing uv.lock changes {sorted(changed)}; run `uv lock`, then `python tools/lock.py`")
    if strip(completed) != agnostic:
        problems.append("uv.lock is out of date with a pyproject.toml; run `uv lock`, then `python tools/lock.py`")
    return problems


def main(arguments: list[str]) -> int:
    match arguments:
        case []:
            LOCK.write_text(strip(LOCK.read_text()))
        case ["--filter"]:
            sys.stdout.write(strip(sys.stdin.read()))
        case ["--check"]:
            problems = check()
            print("\n".join(problems) or "uv.lock: no address, versions complete")
            return int(bool(problems))
        case ["--install-filter"]:
            subprocess.run(["git", "config", "filter.agnostic-lock.clean", FILTER_COMMAND], cwd=ROOT, check=True)
        case _:
            print(__doc__)
            return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
