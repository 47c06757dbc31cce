"""Write the tables of measured figures in the READMEs from the JSON files of the benchmarks.

    python tools/figures.py            rewrite the tables; run it after repeating a benchmark
    python tools/figures.py --check    fail if a table differs from the files

A table is between `<!-- figures: NAME -->` and `<!-- end of figures -->`. Figures in sentences are not updated.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGES = ("README.md", "packages/oqvl-pack/README.md")
PACKING = "packages/oqvl-pack/benchmarks/packing_2core_202611.json"
SCENARIOS = "packages/oqvl-pack/benchmarks/scenarios_2core_202611.json"
THROUGHPUT = "packages/oqvl-pack/benchmarks/throughput_2core_202611.json"
TAR_IO = "packages/oqvl-shards/benchmarks/tar_io_2core_202611.json"

MARKED = re.compile(r"(<!-- figures: (?P<name>[\w ]+) -->\n).*?(\n<!-- end of figures -->)", re.DOTALL)

PACKERS = {
    "oqvl_pack best": "`best`",
    "oqvl_pack best, shuffled": "`best`, shuffled",
    "oqvl_pack best, numpy only": "`best`, numpy only",
    "oqvl_pack bfd": "`bfd`",
    "oqvl_pack ffd": "`ffd`",
    "textbook bfd, O(n log C) Python": "best-fit decreasing, tree, Python",
    "textbook ffd, O(n log n) Python": "first-fit decreasing, tree, Python",
    "script ffd, quadratic Python": "first-fit decreasing, quadratic, Python",
}
"""Names in the table for what the benchmark measures. Other packages keep their names."""

WRITERS = {
    "reference": "`layout=reference`",
    "embedded": "`layout=embedded`",
    "original": "Open-Qwen2VL's way",
}


def packing() -> str:
    """Return the table of packers by number of captions, followed by the machine."""
    report = read(PACKING)
    rows = [
        [
            f"{size['num_items']:,}",
            PACKERS.get(name, name),
            f"**{figure(result['cpu_seconds'])}**" if name == "oqvl_pack best" else figure(result["cpu_seconds"]),
            f"{result['num_bins']:,}",
            f"{size['lower_bound']:,}",
            f"{result['utilization']:.2%}",
        ]
        for size in report["sizes"]
        for name, result in size["results"].items()
        if "num_bins" in result
    ]
    head = ["captions", "packer", "CPU seconds", "sequences", "lower bound", "utilization"]
    return f"{table(head, rows, texts=(1,))}\n\n{machine(report)}; the least of {report['rounds']} rounds."


def two_constraints() -> str:
    """Return the table of packings under two capacities."""
    report = next(part for part in read(SCENARIOS) if "two_constraints" in part)
    cases = report["two_constraints"]
    rows = [
        [
            row["items"],
            *(f"{row[name]:,}" for name in ("images_per_bin", "num_types", "bound_of_tokens", "bound_of_images")),
            *(f"{row[name]:,}" for name in ("lower_bound", "num_bins")),
            f"{row['gap_percent']:.2f}%",
            f"{row['first_fit_decreasing']:,}",
        ]
        for row in cases
    ]
    head = ["items", "images per sequence", "types", "bound of tokens", "bound of images", "lower bound"]
    slowest = max(row["cpu_seconds"] for row in cases)
    body = table([*head, "`best`", "gap", "`ffd`"], rows, texts=(0,))
    return f"{body}\n\n{machine(report)}; the slowest took {figure(slowest)} CPU seconds."


def throughput() -> str:
    """Return the table of complete runs, from shards to packed shards."""
    report = read(THROUGHPUT)
    rows = [
        [
            WRITERS.get(name, name),
            f"{result['num_samples']:,}",
            f"{result['seconds']:.1f}",
            f"{result['samples_per_second']:,.0f}",
            megabytes(result["num_bytes"]),
        ]
        for name, result in report["results"].items()
    ]
    head = ["", "samples", "seconds", "samples/s", "bytes written"]
    load = f"{report['cores']} cores, load average {report['load_average']:.1f} by other work and this"
    return f"{table(head, rows, texts=(0,))}\n\n{load}; {report['date']}, Python {report['python']}."


def results() -> str:
    """Return the table of the root README."""
    small, *_, large = read(PACKING)["sizes"]
    best = {size["num_items"]: size["results"]["oqvl_pack best"] for size in (small, large)}
    bfd = large["results"]["oqvl_pack bfd"]
    script = small["results"]["script ffd, quadratic Python"]
    index = read(TAR_IO)["results"]["index"]
    rates = [round(index[name]["samples_per_cpu_second"], -2) for name in ("oqvl", "tarfile")]

    def packed(size: Any) -> str:
        result = best[size["num_items"]]
        bound = "the lower bound" if result["num_bins"] == size["lower_bound"] else f"bound {size['lower_bound']:,}"
        share = f"{result['utilization']:.2%} full"
        return f"{result['num_bins']:,} sequences, {bound}; {share}; {figure(result['cpu_seconds'])} CPU seconds"

    what = "captions (144 visual tokens and a log-normal text each) into sequences of 4096"
    slow = f"{figure(script['cpu_seconds'])} CPU seconds, by a quadratic first-fit script"
    rows = [
        [
            f"Pack {large['num_items']:,} {what}",
            packed(large),
            f"{bfd['num_bins']:,} sequences, {bfd['utilization']:.2%} full, by best-fit decreasing",
            f"[packing]({PACKING})",
        ],
        [
            f"The same for {small['num_items']:,} captions, one shard",
            packed(small),
            f"{script['num_bins']:,} sequences, {slow}",
            f"[packing]({PACKING})",
        ],
        [
            "Index a WebDataset shard",
            f"{rates[0]:,} samples per CPU second",
            f"{rates[1]:,} with `tarfile`",
            f"[tar_io]({TAR_IO})",
        ],
    ]
    return table(["What", "Result", "Instead of", "Where"], rows, texts=range(4))


TABLES: dict[str, Callable[[], str]] = {
    "packing": packing,
    "two constraints": two_constraints,
    "throughput": throughput,
    "results": results,
}


def read(path: str) -> Any:
    """Return the content of a JSON file of this repository."""
    return json.loads((ROOT / path).read_text(encoding="utf-8"))


def table(head: Sequence[str], rows: Iterable[Sequence[str]], texts: Iterable[int]) -> str:
    """Return a Markdown table; the columns in `texts` are aligned on the left, the others are numbers."""
    marks = ["---" if index in set(texts) else "---:" for index in range(len(head))]
    lines = [f"| {' | '.join(cells)} |".replace("|  |", "| |") for cells in [head, *rows]]
    return "\n".join([lines[0], f"|{'|'.join(marks)}|", *lines[1:]])


def figure(seconds: float) -> str:
    """Return `seconds` with three significant digits."""
    return f"{seconds:.3g}"


def megabytes(num_bytes: int) -> str:
    """Return a number of bytes in decimal megabytes or gigabytes."""
    return f"{num_bytes / 1e9:.1f} GB" if num_bytes >= 1e9 else f"{num_bytes / 1e6:.1f} MB"


def machine(report: Any) -> str:
    """Return the machine that a report was measured on."""
    hardware, versions = report["hardware"], report["versions"]
    cpu = f" ({hardware['cpu'].replace('(R)', '')})" if "cpu" in hardware else ""
    names = ", ".join(f"{name} {versions[name]}" for name in ("numpy", "numba"))
    load = f"load average {hardware['load_average']}"
    return f"{hardware['num_cores']} cores{cpu}, {load}, {report['date']}, Python {versions['python']}, {names}"


def rewritten(page: str) -> str:
    """Return the text of `page` with its tables updated from the files."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return MARKED.sub(lambda match: f"{match[1]}{TABLES[match['name']]()}{match[3]}", text)


def main(arguments: list[str]) -> int:
    if arguments not in ([], ["--check"]):
        print(__doc__)
        return 2
    stale = [page for page in PAGES if rewritten(page) != (ROOT / page).read_text(encoding="utf-8")]
    for page in stale:
        if arguments:
            print(f"{page}: a table is not what the benchmark files say; run python tools/figures.py", file=sys.stderr)
        else:
            (ROOT / page).write_text(rewritten(page), encoding="utf-8")
            print(f"rewrote {page}")
    return 1 if arguments and stale else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
