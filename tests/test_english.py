"""The wording of the whole repository: phrases that readers stumble over are forbidden, in names and texts alike."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PLACES = ("batchrun", "tests", "docs", "jobs", "README.md", "CHANGELOG.md", "Makefile", "pyproject.toml")
SUFFIXES = (".py", ".ipynb", ".md", ".toml", ".txt", ".sh", ".j2", ".js", ".css", "")

PHRASES = (
    r"anew|mend|mends|mended|mending|beside|said|told|whoever",
    r"all the same",
    r"(?<!there )(?:is|are|was|were) no (?!longer\b|more\b)\w+",  # "is not a file" is meant
    r"thinks first",
    r"which job it is of",
    r"where one stands",
    r"have nothing wait",
    r"still to be learned",
    r"nobody has foreseen",
    r"words for people",
    r"(?:it|they) goe?s? on",
)
FORBIDDEN = re.compile(rf"\b(?:{'|'.join(PHRASES)})\b", re.IGNORECASE)

QUOTED = re.compile(r"You said: \{prompt\}|said \{person\}")
"""Texts that are quoted: the answer of another program, and sentences of the made-up news articles."""


def files() -> Iterator[Path]:
    for place in PLACES:
        top = ROOT / place
        for path in [top] if top.is_file() else sorted(top.rglob("*")):
            if path.is_file() and path.suffix in SUFFIXES and "__pycache__" not in path.parts:
                yield path


def found_in(text: str) -> list[tuple[int, str]]:
    """Return line and phrase of each occurrence, also of those that a line break or an underscore divides."""
    lines = re.sub(r"[ \t]*\n[ \t]*(?:#|//)?[ \t]*", "\n", QUOTED.sub("", text))
    plain = re.sub(r"[_`\n]", " ", lines)
    return [(lines.count("\n", 0, match.start()) + 1, match[0]) for match in FORBIDDEN.finditer(plain)]


def test_no_forbidden_phrase_is_used() -> None:
    found = []
    for path in files():
        name = path.relative_to(ROOT).as_posix()
        if path != Path(__file__):
            text = path.read_text(encoding="utf-8", errors="replace")
            found += [f"{name}:{line}: {phrase}" for line, phrase in found_in(text)]
    assert found == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("It is no file.", [(1, "is no file")]),
        ("a\n\n    # what goes on\n    # words for\n    # people", [(4, "words for people")]),
        ("def test_it_goes_on():", [(1, "it goes on")]),
        ("_SAID = said", [(1, "SAID"), (1, "said")]),
        ("There is no price. It is no longer there; amend `besides`.", []),
    ],
)
def test_phrases_are_found_in_texts_and_names(text: str, found: list[tuple[int, str]]) -> None:
    assert found_in(text) == found
