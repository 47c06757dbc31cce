"""No commit may hold the address of a package registry or hub, or a path of someone's machine."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Written in two halves, because this file is tracked too.
HOSTS = [
    ".".join(parts)
    for parts in [
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("anaconda", "org"),
        ("download.pytorch", "org"),
        ("huggingface", "co"),
        ("hf", "co"),
        ("modelscope", "cn"),
        ("npmjs", "org"),
        ("npmjs", "com"),
        ("docker", "io"),
        ("ghcr", "io"),
    ]
]
HOST = re.compile("|".join(rf"\b{re.escape(host)}\b" for host in HOSTS))
HOME = re.compile(r"(?<![\w./}])/(?:home|root|Users|work|opt)/[\w.-]+")


def git(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=True).stdout


def tracked_texts() -> dict[str, str]:
    """Return the text of every tracked file by name: of uv.lock what is staged, of the others what lies on disk."""
    names = git("ls-files", "-z").decode().split("\0")[:-1]
    texts = {name: (ROOT / name).read_bytes() for name in names if (ROOT / name).is_file() and name != "uv.lock"}
    texts["uv.lock"] = git("show", ":uv.lock")
    return {name: data.decode() for name, data in texts.items() if b"\0" not in data}


def test_no_tracked_file_names_a_registry_or_a_machine():
    found = [
        f"{name}:{number}: {match[0]}"
        for name, text in tracked_texts().items()
        for number, line in enumerate(text.splitlines(), start=1)
        if (match := HOST.search(line) or HOME.search(line))
    ]
    assert found == []


def test_the_staged_lock_names_no_address():
    assert "://" not in git("show", ":uv.lock").decode()
