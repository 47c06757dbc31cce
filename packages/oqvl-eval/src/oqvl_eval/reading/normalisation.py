r"""Bring an answer to plain text: one width, no invisible characters, no Markdown, LaTeX or HTML.

What carries meaning stays: `\boxed{...}` is a declaration, brackets around a letter are the readers' business, and
superscripts, Roman numerals and letters of other alphabets are not what they look like. Every character of the result
knows where it was in the source, so that a reading can point at the output.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

CJK = "\u2e80-\u2fff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
"""The ideographs and kana, for a character class. They are word characters, but words are not separated by spaces."""

WORD = rf"[^\W_{CJK}]"
"""A letter or digit of a script that separates words by spaces."""

# What some rule below could change; most short answers have nothing of it.
_MARKUP = re.compile(r"[^A-Za-z0-9 .,:;!?()\[\]{}'\"/%=+\n-]|  | \n|\n[ \n]|(?:^|\n) ?[+-] ")
_UNUSUAL = re.compile(r"[^\n\x20-\x7e]")

_QUOTES = {**dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u300e\u300f", "'")} | dict.fromkeys(
    "\u201c\u201d\u201e\u201f\u2033\u300c\u300d\u300a\u300b\u3008\u3009\u00ab\u00bb", '"'
)
_DASHES = dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63", "-")
_POINTS = {"\u3002": ".", "\uff61": ".", "\u3001": ",", "\uff64": ",", "\u2026": "...", "\u3010": "[", "\u3011": "]"}
_POINTS |= {
    "\u3014": "[",
    "\u3015": "]",
    "\u2192": "->",
    "\u21d2": "=>",
    "\u00b7": "\u2022",
    "\u25cf": "\u2022",
    "\u25aa": "\u2022",
}
_FOLDED = (
    _QUOTES
    | _DASHES
    | _POINTS
    | {chr(line): "\n" for line in (0x0B, 0x0C, 0x0D, 0x1C, 0x1D, 0x1E, 0x85, 0x2028, 0x2029)}
)

# Where the compatibility form of a character is what a person reads: full-width and half-width forms, circled and
# parenthesised letters and digits, the alphabets of mathematics, ligatures. Not superscripts (5² is not 52), fractions,
# Roman numerals or units.
_COMPATIBLE = ((0xFF00, 0xFFEF), (0x2460, 0x24EA), (0x1D400, 0x1D7FF), (0xFB00, 0xFB06), (0x1F110, 0x1F149))

_BREAK_TAG = re.compile(
    r"</?(?:br|div|li|ul|ol|tr|table|h[1-6]|hr|pre|html|body)(?:\s[^<>]{0,200})?\s{0,4}/?>", re.IGNORECASE
)
_INLINE_TAG = re.compile(
    r"</?(?:em|strong|span|font|center|code|sub|sup|mark|small|big|tt|td|th|del|ins|answer|final_answer|output|solution)"
    r"(?:\s[^<>]{0,200})?>|<\|[a-z_]{1,40}\|>",
    re.IGNORECASE,
)
_FIRST_TOKEN = re.compile(r"\A\s{0,9}<s>(?=\s{0,9}[^\s])")
_LETTER_TAG = re.compile(r"</?([A-Za-z])>")
_FENCE = re.compile(r"```[A-Za-z]{0,20}(?=\n)|`{1,3}")
_STRUCK = re.compile(r"~~[^~\n]{1,200}~~")
_EMPHASIS = re.compile(
    r"(?m:^[*_]{1,9}+$)|"
    rf"(?<!{WORD})(?<![*_])[*_]{{1,9}}+(?=\S)|(?<=[^\s*_])[*_]{{1,9}}+(?!{WORD})|\*\*(?!{WORD}|\*)|(?<!{WORD})(?<!\*)\*\*"
)
_LINE_MARK = re.compile(r"^[ ]{0,20}(?:(?:#{1,6}|[*\u2022>+]|-(?![ ]?\d))[ ]){1,3}", re.MULTILINE)
_MATHS = re.compile(r"\$\$|\\[()\[\],;!]|\\(?:displaystyle|left|right|quad|qquad)(?![A-Za-z])")
_DOLLARS = re.compile(r"\$(?=[^\s$])([^$\n]{1,500})(?<=\S)\$(?!\d)")
_BRACES = re.compile(r"\\(?:text(?:bf|it|rm|tt|sf)?|math(?:rm|bf|it|sf|tt)|operatorname|mbox)\s?\{|\\[{}%$#&_]|[{}]")
_SPACES = re.compile(r" *+\n[ \n]*+| {2,}+")


@dataclass(frozen=True, slots=True)
class NormalText:
    """A normalised text that knows where it comes from.

    Args:
        text: The text. White space is single: one space, or one line break.
        origins: For every character of `text`, its place in the source.
    """

    text: str
    origins: Sequence[int]

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Return where `text[start:end]` is in the source."""
        return self.origins[start], self.origins[end - 1] + 1

    def slice(self, start: int, end: int) -> NormalText:
        """Return a part of the text."""
        return NormalText(self.text[start:end], self.origins[start:end])


def normalise(text: str, origins: Sequence[int] | None = None) -> NormalText:
    r"""Bring a text to plain form.

    Args:
        text: The text.
        origins: The place of each character in a longer source; None if `text` is the source.

    Example:
        >>> normalise("**B** \u2013 a\u200b pear").text
        'B - a pear'
    """
    normal = NormalText(text, range(len(text)) if origins is None else origins)
    if _MARKUP.search(text):
        if _UNUSUAL.search(text):
            normal = _rewrite(normal, _UNUSUAL, lambda match: _folded(match.group()))
        normal = _without_html(normal)
        normal = _without_markdown(normal)
        normal = _without_latex(normal)
        normal = _rewrite(normal, _SPACES, lambda match: "\n" if "\n" in match.group() else " ")
    start = len(normal.text) - len(normal.text.lstrip(" \n"))
    return normal.slice(start, max(start, len(normal.text.rstrip(" \n"))))


@lru_cache(maxsize=4096)
def _folded(character: str) -> str:
    """Return the plain form of one character: nothing for an invisible one, itself if it has none."""
    if character in _FOLDED:
        return _FOLDED[character]
    code = ord(character)
    if 0x1F150 <= code <= 0x1F189 and code not in (0x1F16A, 0x1F16B, 0x1F16C):  # letters in filled circles and squares
        return chr(ord("A") + (code - 0x1F150) % 32)[:1] if (code - 0x1F150) % 32 < 26 else character
    category = unicodedata.category(character)
    if category == "Zs" or character == "\t":
        return " "
    if category in ("Cc", "Cf") or 0xFE00 <= code <= 0xFE0F:
        return ""
    if category == "Nd":
        return str(unicodedata.decimal(character))
    if any(first <= code <= last for first, last in _COMPATIBLE):
        return "".join(_FOLDED.get(part, part) for part in unicodedata.normalize("NFKC", character))
    return character


def _without_html(normal: NormalText) -> NormalText:
    """Turn tags that end lines into line breaks and delete the others.

    `<B>` is a decorated letter, as is any other letter, unless there is a closing `</B>` too.
    """
    if "<" not in normal.text:
        return normal
    normal = _rewrite(normal, _BREAK_TAG, lambda _: "\n")
    for pattern in (_FIRST_TOKEN, _INLINE_TAG):
        normal = _rewrite(normal, pattern, lambda _: "")
    closed = {tag[2].lower() for tag in re.findall(r"</[A-Za-z]>", normal.text)}
    return _rewrite(
        normal,
        _LETTER_TAG,
        lambda match: "\n" if match.group(1) in "Pp" else "",
        keep=lambda match: match.group(1).lower() not in closed,
    )


def _without_markdown(normal: NormalText) -> NormalText:
    """Delete emphasis, code marks, headings and bullets, and text that is struck out."""
    for pattern, mark in ((_STRUCK, "~"), (_FENCE, "`")):
        if mark in normal.text:
            normal = _rewrite(normal, pattern, lambda _: "")
    if "*" in normal.text or "_" in normal.text:
        normal = _rewrite(normal, _LINE_MARK, lambda _: "")
        normal = _rewrite(normal, _EMPHASIS, lambda _: "")
    return _rewrite(normal, _LINE_MARK, lambda _: "")


def _without_latex(normal: NormalText) -> NormalText:
    r"""Delete the marks of mathematics and the wrappers of text, so that `$\boxed{\text{C}}$` becomes `\boxed{C}`."""
    if "\\" in normal.text or "$" in normal.text:
        normal = _rewrite(normal, _MATHS, lambda match: " " if match.group() in (r"\,", r"\;", r"\quad") else "")
        normal = _rewrite(normal, _DOLLARS, lambda match: match.group(1))
    if "\\" not in normal.text:
        return normal
    deleted: list[tuple[int, int, str]] = []
    is_wrapper: list[bool] = []
    for mark in _BRACES.finditer(normal.text):
        if mark.group() == "{":
            is_wrapper.append(False)
        elif mark.group() == "}":
            if is_wrapper and is_wrapper.pop():
                deleted.append((mark.start(), mark.end(), ""))
        elif mark.group()[-1] == "{" and len(mark.group()) > 2:
            is_wrapper.append(True)
            deleted.append((mark.start(), mark.end(), ""))
        else:
            deleted.append((mark.start(), mark.end(), mark.group()[1]))
    return _replaced(normal, deleted)


def _rewrite(
    normal: NormalText,
    pattern: re.Pattern[str],
    replacement: Callable[[re.Match[str]], str],
    keep: Callable[[re.Match[str]], bool] = lambda _: False,
) -> NormalText:
    """Replace every match of a pattern that `keep` does not spare."""
    edits = [
        (match.start(), match.end(), replacement(match)) for match in pattern.finditer(normal.text) if not keep(match)
    ]
    return _replaced(normal, edits)


def _replaced(normal: NormalText, edits: Iterable[tuple[int, int, str]]) -> NormalText:
    """Replace `(start, end, new)` for each edit; the new characters come from the places of the old ones, in order."""
    texts: list[str] = []
    origins: list[int] = []
    cursor = 0
    for start, end, new in edits:
        texts += (normal.text[cursor:start], new)
        origins += normal.origins[cursor:start]
        first = start + max(0, normal.text.find(new, start, end) - start) if new else start
        origins += [normal.origins[min(first + index, end - 1)] for index in range(len(new))]
        cursor = end
    if not texts:
        return normal
    texts.append(normal.text[cursor:])
    origins += normal.origins[cursor:]
    return NormalText("".join(texts), origins)
