"""The agnostic lock: no address survives, every version does."""

from __future__ import annotations

import lock

COMPLETE = """version = 1

[[package]]
name = "one"
version = "1.2"
source = { registry = "https://index.example/simple" }
dependencies = [
    { name = "two", marker = "sys_platform == 'win32'" },
    { name = "three", version = "3.0", source = { registry = "https://index.example/simple" } },
]
sdist = { url = "https://files.example/one.tar.gz", hash = "sha256:0" }
wheels = [
    { url = "https://files.example/one.whl", hash = "sha256:1" },
]

[package.metadata]
requires-dist = [{ name = "two" }]

[[package]]
name = "two"
version = "2.0"
source = { registry = "https://index.example/simple" }
"""


def test_stripping_drops_every_address_and_keeps_every_version():
    stripped = lock.strip(COMPLETE)
    assert "://" not in stripped
    assert "sha256" not in stripped
    assert lock.versions(stripped) == lock.versions(COMPLETE) == {("one", "1.2"), ("two", "2.0")}
    assert "marker = \"sys_platform == 'win32'\"" in stripped
    assert '{ name = "three", version = "3.0", source = { registry = "registry" } }' in stripped


def test_stripping_is_idempotent_and_leaves_no_empty_table():
    stripped = lock.strip(COMPLETE)
    assert lock.strip(stripped) == stripped
    assert "[package.metadata]" not in stripped
    assert "\n\n\n" not in stripped
