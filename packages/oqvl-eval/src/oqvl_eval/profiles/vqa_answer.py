"""The normalisation of short answers that the VQA challenge introduced and its server, EvalAI, runs.

Every harness that scores VQAv2, OK-VQA, VizWiz or TextVQA has a copy. The copies differ in details that a `Dialect`
names.

Bugs kept:

- A period is meant to stay inside a number. The pattern's look-behind is mistyped as a look-ahead, so every
  period is removed unless a digit follows it: "3." becomes "3", while "3.5" and ".5" are kept.
- A flag is passed where the number of replacements belongs, so only the first 32 periods are removed.
- A punctuation mark is removed if a space is next to it anywhere in the text, and becomes a space otherwise. If there
  is a comma between two digits anywhere, all marks are removed.
- The contractions of "I" are written with a capital letter and looked up in lower case: they never apply.
- "somebody'd" loses its apostrophe.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_ARTICLES = frozenset({"a", "an", "the"})
_NUMBER_WORDS = {
    word: str(value) for value, word in enumerate("zero one two three four five six seven eight nine ten".split())
} | {"none": "0"}
_MAX_PERIODS = int(re.UNICODE)

_CONTRACTIONS = """
    'ow's'at 'twas I'd've I'm I've ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't
    hadn't've hasn't haven't he'd he'd've he's how'd how'll how's isn't it'd it'd've it'll ma'am might've mightn't
    mightn't've must've mustn't needn't not've o'clock oughtn't shan't she'd've should've shouldn't shouldn't've
    somebody'd've somebody'll somebody's someone'd someone'd've someone'll someone's something'd something'd've
    something'll that's there'd there'd've there're there's they'd they'd've they'll they're they've wasn't we'd've
    we've weren't what'll what're what's what've when's where'd where's where've who'd who'd've who'll who's who've
    why'll why're why's won't would've wouldn't wouldn't've y'all y'all'd've y'all'll you'd you'd've you'll you're
    you've
""".split()


def contractions() -> dict[str, str]:
    """Return the spellings that lack one apostrophe, each with the contraction it means."""
    table: dict[str, str] = {
        contraction[:index] + contraction[index + 1 :]: contraction
        for contraction in _CONTRACTIONS
        for index, character in enumerate(contraction)
        if character == "'"
    }
    return table | {"somebody'd": "somebodyd"}


@dataclass(frozen=True)
class Dialect:
    """In what one harness's copy of the normalisation differs.

    Args:
        comma_in_number: The pattern of a comma between digits, which makes all punctuation marks disappear.
        period: The pattern of the periods to remove.
        contractions: Words and what replaces them.
    """

    comma_in_number: str = r"\d,+(?=\d)"
    period: str = r"\.(?!\d)"
    contractions: Mapping[str, str] = field(default_factory=contractions)


EVAL_AI = Dialect()
VQA_CHALLENGE = Dialect(comma_in_number=r"\d,\d")


def separate_words(text: str) -> str:
    """Lower-case a text, remove its commas and question marks, and set a possessive apart with a space."""
    return text.lower().replace(",", "").replace("?", "").replace("'s", " 's").strip()


def join_lines(text: str) -> str:
    """Turn line breaks and tabs into spaces, then strip the text."""
    return text.replace("\n", " ").replace("\t", " ").strip()


def remove_punctuation(text: str, dialect: Dialect = EVAL_AI) -> str:
    """Remove punctuation marks or turn them into spaces, then remove periods."""
    has_number = re.search(dialect.comma_in_number, text) is not None
    replacements = {
        mark: "" if has_number or f"{mark} " in text or f" {mark}" in text else " " for mark in _PUNCTUATION
    }
    return re.sub(dialect.period, "", text.translate(str.maketrans(replacements)), count=_MAX_PERIODS)


def replace_words(text: str, dialect: Dialect = EVAL_AI) -> str:
    """Lower-case a text, write number words as digits, drop articles, and restore apostrophes."""
    words = (_NUMBER_WORDS.get(word, word) for word in text.lower().split())
    return " ".join(dialect.contractions.get(word, word) for word in words if word not in _ARTICLES)


def normalize(text: str, dialect: Dialect = EVAL_AI) -> str:
    """Normalise an answer as the server does, with all steps."""
    return replace_words(remove_punctuation(join_lines(separate_words(text)), dialect), dialect)


def leave_one_out(answer: object, human_answers: Sequence[object]) -> list[float]:
    """Return the accuracy of an answer against the human answers, once with each of them left out.

    Each is min(n / 3, 1), n being the number of the other human answers that equal the answer.
    """
    return [
        min(1.0, sum(other == answer for index, other in enumerate(human_answers) if index != left_out) / 3)
        for left_out in range(len(human_answers))
    ]
