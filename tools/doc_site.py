"""Build the documentation site from the Markdown of the repository and the docstrings of the packages.

    uv run --group docs tools/doc_site.py    gather the pages, build build/site/html, check it

The pages keep their places, so the same relative link works in the repository and on the site. A linked file that is
not a page is copied next to them, and a linked directory becomes a page that lists its files. The build is strict: a
broken link, a missing anchor or a page outside the navigation fails it. The site loads nothing from elsewhere.
"""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parent.parent
CONFIG = ROOT / "mkdocs.yml"
SITE = ROOT / "build" / "site"
PATTERNS = (
    "CONTRIBUTING.md",
    "README.md",
    "SECURITY.md",
    "docs/**/*.md",
    "examples/README.md",
    "packages/*/CHANGELOG.md",
    "packages/*/README.md",
    "packages/*/src/**/README.md",
    "recipes/**/README.md",
)
CODE = re.compile(r"^(```.*?^```|    .*?)$|`[^`\n]*`", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")
STYLE_ADDRESS = re.compile(r"url\(\s*['\"]?(?!data:)((?:https?:)?//[^)'\"]+)|@import\s+['\"]([^'\"]+)")
LOADING = {
    ("script", "src"),
    ("link", "href"),
    ("img", "src"),
    ("iframe", "src"),
    ("source", "src"),
    ("object", "data"),
}
LOADED_RELATIONS = {"icon", "manifest", "modulepreload", "preconnect", "prefetch", "preload", "stylesheet"}


def find_pages(root: Path) -> list[Path]:
    """Return the pages of the site, relative to `root`."""
    return sorted({path.relative_to(root) for pattern in PATTERNS for path in root.glob(pattern)})


def link_targets(markdown: str) -> set[str]:
    """Return the relative targets that the page `markdown` links to, without their anchors."""
    targets = {target.partition("#")[0] for target in LINK.findall(CODE.sub("", markdown))}
    return {target for target in targets if target and not urlsplit(target).scheme}


def gather(root: Path, pages_directory: Path) -> None:
    """Copy every page, and what the pages link to, from `root` to the same place in `pages_directory`."""
    pages = find_pages(root)
    for page in pages:
        text = (root / page).read_text(encoding="utf-8")
        copy(root, page, pages_directory)
        for target in sorted(link_targets(text)):
            linked = (root / page.parent / target).resolve().relative_to(root)
            if (root / linked).is_dir():
                write_listing(root, linked, pages_directory)
            elif linked not in pages and (root / linked).is_file():
                copy(root, linked, pages_directory)


def copy(root: Path, path: Path, directory: Path) -> None:
    """Copy the file `path` from `root` to the same place in `directory`."""
    (directory / path).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(root / path, directory / path)


def write_listing(root: Path, folder: Path, pages_directory: Path) -> None:
    """Write a page that lists and links the files of `folder`, unless the folder has a README."""
    files = sorted(path.relative_to(root) for path in (root / folder).iterdir() if path.is_file())
    for file in files:
        copy(root, file, pages_directory)
    if not (root / folder / "README.md").exists():
        lines = [f"# {folder}", "", *(f"- [{file.name}]({file.name})" for file in files), ""]
        (pages_directory / folder / "README.md").write_text("\n".join(lines), encoding="utf-8")


def public_names(init: Path) -> list[str]:
    """Return `__all__` of the package whose `__init__.py` is at `init`."""
    for node in ast.parse(init.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    raise ValueError(f"{init} has no __all__")


def write_api_pages(root: Path, pages_directory: Path) -> None:
    """Write one reference page per package: its docstring, every public name, and a map of its modules."""
    (pages_directory / "api").mkdir(parents=True, exist_ok=True)
    for init in sorted(root.glob("packages/*/src/*/__init__.py")):
        package = init.parent.name
        sections = [f"::: {package}.{name}" for name in public_names(init)]
        page = "\n\n".join([f"# {package}", docstring(init), *sections, "## Modules", module_table(init.parent), ""])
        (pages_directory / "api" / f"{package}.md").write_text(page, encoding="utf-8")


def module_table(package: Path) -> str:
    """Return a Markdown table of the modules below `package`, each with the first line of its docstring."""
    rows = ["| module | what |", "|---|---|"]
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__")
        if summary := docstring(path).partition("\n")[0].replace("|", "\\|"):
            rows.append(f"| `{name}` | {summary} |")
    return "\n".join(rows)


def docstring(module: Path) -> str:
    """Return the docstring of the module at `module`; empty if it has none."""
    return ast.get_docstring(ast.parse(module.read_text(encoding="utf-8"))) or ""


def check_navigation(root: Path) -> Iterator[str]:
    """Yield the pages that no entry of the navigation leads to."""
    entries = set(re.findall(r"^ +- (\S+\.md)$", CONFIG.read_text(encoding="utf-8"), re.MULTILINE))
    yield from (
        f"{page}: not in the navigation of {CONFIG.name}" for page in find_pages(root) if str(page) not in entries
    )


class _References(HTMLParser):
    """Collects what an HTML page loads, what it links to, and the anchors that it offers."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        for name in values:
            is_loaded = tag != "link" or LOADED_RELATIONS & set(values.get("rel", "").split())
            if (tag, name) in LOADING and is_loaded:
                self.loaded.append(values[name])


def read_references(page: Path) -> _References:
    """Return what the HTML page at `page` loads, links to and offers."""
    references = _References()
    references.feed(page.read_text(encoding="utf-8"))
    return references


def check_html(directory: Path) -> Iterator[str]:
    """Yield the problems of the built site: addresses that it loads from elsewhere, and broken links."""
    pages = {page.resolve(): read_references(page) for page in sorted(directory.rglob("*.html"))}
    for page, references in pages.items():
        where = page.relative_to(directory.resolve())
        yield from (f"{where}: loads {address}" for address in references.loaded if is_remote(address))
        for link in [*references.links, *references.loaded]:
            target, anchor = split_link(page, link, directory)
            if target is None:
                continue
            if not target.exists():
                yield f"{where}: {link} leads nowhere"
            elif anchor and target in pages and anchor not in pages[target].anchors:
                yield f"{where}: {link} names an anchor that is not there"
    for sheet in sorted(directory.rglob("*.css")):
        for match in STYLE_ADDRESS.finditer(sheet.read_text(encoding="utf-8")):
            yield f"{sheet.relative_to(directory)}: loads {match[1] or match[2]}"


def is_remote(address: str) -> bool:
    """Return whether a browser would leave the site for `address`."""
    parts = urlsplit(address)
    return bool(parts.netloc) or parts.scheme in {"http", "https"}


def split_link(page: Path, link: str, directory: Path) -> tuple[Path | None, str]:
    """Return the file and the anchor that `link` on `page` points to. The file is None for a link out of the site."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return None, ""
    base = directory.resolve() if parts.path.startswith("/") else page.parent
    target = (base / unquote(parts.path).lstrip("/")).resolve() if parts.path else page
    return (target / "index.html" if target.is_dir() else target), unquote(parts.fragment)


def main() -> int:
    shutil.rmtree(SITE, ignore_errors=True)
    gather(ROOT, SITE / "pages")
    write_api_pages(ROOT, SITE / "pages")
    problems = list(check_navigation(ROOT))
    build = [sys.executable, "-m", "zensical", "build", "--strict", "--config-file", str(CONFIG)]
    if subprocess.run(build, cwd=ROOT, check=False).returncode:
        problems.append("zensical: see above")
    else:
        problems += check_html(SITE / "html")
    print("\n".join(problems) or f"site: {(SITE / 'html' / 'index.html').relative_to(ROOT)}")
    return int(bool(problems))


if __name__ == "__main__":
    raise SystemExit(main())
