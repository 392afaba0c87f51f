"""What the model writes where it is free: sentences in which label and verb agree; randomness is an argument."""

from collections.abc import Callable
from random import Random

_VERBS = {
    "positive": ("praises", "recommends", "is happy with"),
    "negative": ("criticises", "complains about", "is disappointed by"),
    "neutral": ("mentions", "describes", "asks about"),
    "mixed": ("has doubts about", "sees two sides of", "cannot decide about"),
}
_SUBJECTS = ("the text", "the author", "this review", "the writer", "the passage")
_OBJECTS = (
    "the price",
    "the battery life",
    "the service",
    "the size",
    "the delivery",
    "the build quality",
    "the setup",
)
_THOUGHTS = ("Let me read the question.", "The wording suggests one answer.", "I should keep the answer short.")

LABELS = tuple(_VERBS)


def sentence(random: Random, *labels: str) -> str:
    """Return a sentence that names the labels and, where one of them is in `LABELS`, says what fits it.

    Without labels one of `LABELS` is drawn.
    """
    labels = labels or (random.choice(LABELS),)
    tone = next((label.lower() for label in labels if label.lower() in _VERBS), "neutral")
    lead = ", ".join(labels)
    statement = " ".join(random.choice(words) for words in (_SUBJECTS, _VERBS[tone], _OBJECTS))
    return f"{lead[:1].upper()}{lead[1:]}: {statement}."


def thought(random: Random) -> str:
    """Return a sentence of a model that reasons."""
    return random.choice(_THOUGHTS)


def sentences(random: Random, tokens: int, make: Callable[[Random], str]) -> str:
    """Return sentences of about `tokens` tokens together: half to one and a half times as many."""
    target = tokens * (0.5 + random.random()) * 4
    text = make(random)
    while len(text) < target:
        text += " " + make(random)
    return text
