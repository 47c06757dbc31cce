"""MMStar as its repository scores it (MMStar 88f243a).

Bugs kept:

- The first letter of any answer counts, so "Cannot tell" answers C and "A dog" answers A.
- The denominators are fixed: 250 per category and 1500 overall, however many answers there are.
"""

from __future__ import annotations

from collections.abc import Iterable

_LEADS = ("(", "option ", "the answer is ")
_NUM_PER_CATEGORY = 250
_NUM_TOTAL = 1500


def candidate_letters(output: str) -> set[str]:
    """Return the characters that count as the answer's letter, in lower case.

    These are its first character and the one after `(`, `option ` or `the answer is ` at its beginning.
    """
    text = _prepare(output)
    return {text[len(lead) : len(lead) + 1] for lead in ("", *_LEADS) if text.startswith(lead)} - {""}


def credit(output: str, gold: str) -> float:
    """Return 1 if the gold letter is among the answer's candidates, else 0."""
    return float(_prepare(gold) in candidate_letters(output))


def summarize(results: Iterable[tuple[str, str, float]]) -> dict[str, float]:
    """Return the accuracies per category, per sub-category as `category(sub-category)`, and as `final score`.

    Args:
        results: The category, sub-category and credit of every answer.
    """
    categories: dict[str, float] = {}
    subcategories: dict[str, list[float]] = {}
    for category, subcategory, value in results:
        categories[category] = categories.get(category, 0.0) + value
        subcategories.setdefault(f"{category}({subcategory})", []).append(value)
    return {
        **{name: sum(values) / len(values) for name, values in subcategories.items()},
        **{name: total / _NUM_PER_CATEGORY for name, total in categories.items()},
        "final score": sum(categories.values()) / _NUM_TOTAL,
    }


def _prepare(text: str) -> str:
    return str(text).lower().strip().replace("\n", " ")
