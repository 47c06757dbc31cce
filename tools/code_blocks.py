"""Find the fenced code blocks of Markdown pages. Tests run exactly what the documentation says.

    python tools/code_blocks.py PAGE MARK      print the code of the only block of PAGE marked `<!-- MARK -->`

A mark is an HTML comment on the line above a fence. A Python block marked `<!-- not run: REASON -->` is not run, and a
shell block marked `<!-- run -->` is run. tests/test_documentation.py decides about all others.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FENCE = re.compile(r"^```(\w*)\s*$")
COMMENT = re.compile(r"^<!-- (.*) -->$")


@dataclass(frozen=True)
class Block:
    """One fenced code block.

    Args:
        page: The Markdown file.
        line: 1-based number of the first line of code.
        language: The word after the opening fence, e.g. `python`; may be empty.
        mark: The HTML comment on the line above the fence; empty if there is none.
        code: The lines in the block, each with its newline.
    """

    page: Path
    line: int
    language: str
    mark: str
    code: str


def blocks(page: Path) -> Iterator[Block]:
    """Yield the fenced code blocks of `page` in order.

    Raises:
        ValueError: If a fence is never closed.
    """
    lines = page.read_text(encoding="utf-8").splitlines(keepends=True)
    start, language, mark = 0, "", ""
    for number, line in enumerate(lines, start=1):
        if start and line.rstrip() == "```":
            yield Block(page, start, language, mark, "".join(lines[start - 1 : number - 1]))
            start = 0
        elif not start and (fence := FENCE.match(line)):
            comment = COMMENT.match(lines[number - 2].strip()) if number > 1 else None
            start, language, mark = number + 1, fence[1], comment[1] if comment else ""
    if start:
        raise ValueError(f"{page}:{start - 1}: this fence is never closed")


def marked_block(page: Path, mark: str) -> Block:
    """Return the only block of `page` that is marked `<!-- mark -->`.

    Raises:
        ValueError: If there is none, or more than one.
    """
    marked = [block for block in blocks(page) if block.mark == mark]
    if len(marked) != 1:
        raise ValueError(f"{page} has {len(marked)} code blocks marked <!-- {mark} -->, expected one")
    return marked[0]


def main(arguments: list[str]) -> int:
    if len(arguments) != 2:
        print(__doc__)
        return 2
    page, mark = arguments
    print(marked_block(Path(page), mark).code, end="")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
