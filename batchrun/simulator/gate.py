"""The checks before the model answers: key, model, rates per minute, and faults; no I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from hashlib import blake2b

from batchrun.simulator import markers
from batchrun.simulator.chat import Chat
from batchrun.simulator.errors import Problem, RejectedError, bad_request
from batchrun.simulator.faults import FAULTS, Shares
from batchrun.simulator.limits import MinuteBudget
from batchrun.simulator.markers import Order
from batchrun.simulator.settings import Settings


def rejected(name: str) -> RejectedError:
    """Return the error with this name from the table of faults, to be raised."""
    problem = FAULTS[name].problem
    assert problem is not None, f"{name} is not an error"
    return RejectedError(problem, fault=name)


def check_caller(headers: Mapping[str, str], settings: Settings) -> None:
    """Raise a 401 if the key or the project is not accepted."""
    kind, _, key = headers.get("Authorization", "").partition(" ")
    known = kind.lower() == "bearer" and bool(key.strip())
    if settings.keys:
        known = known and key.strip() in settings.keys
    if settings.require_key and not known:
        raise rejected("401")
    project = headers.get("OpenAI-Project")
    if settings.projects and project is not None and project not in settings.projects:
        raise rejected("401")


def check_model(chat: Chat, settings: Settings) -> None:
    """Raise a 404 if the model is not served, a 400 if the prompt is longer than its context."""
    served = chat.model in settings.models or chat.model.startswith("wandb-artifact:///")
    if settings.models and not served:
        raise rejected("404")
    if chat.prompt_tokens > settings.context_tokens:
        message = f"This model's maximum context length is {settings.context_tokens} tokens. However, your "
        message += f"messages resulted in {chat.prompt_tokens} tokens. Please reduce the length of the messages."
        raise bad_request(message, param="messages", code="context_length_exceeded")


class Minutes:
    """The requests and tokens per minute that each project has left."""

    def __init__(self) -> None:
        self._requests = MinuteBudget()
        self._tokens = MinuteBudget()

    def admit(self, project: str, chat: Chat, settings: Settings, now_s: float) -> None:
        """Take one request and the tokens of its prompt, or take nothing and raise a 429 that names the limit."""
        checks = (
            ("requests", "RPM", self._requests, 1, settings.requests_per_minute),
            ("tokens", "TPM", self._tokens, chat.prompt_tokens, settings.tokens_per_minute),
        )
        for noun, short, budget, amount, limit in checks:
            wait_s = budget.wait_s(project, amount, limit, now_s) if limit else 0.0
            if limit and wait_s:
                used = limit - int(budget.left(project, limit, now_s))
                message = f"Rate limit reached for {chat.model} on {noun} per min ({short}): Limit {limit}, "
                message += f"Used {used}, Requested {amount}. Please try again in {wait_s:.3f}s."
                problem = Problem(429, message, noun, code="rate_limit_exceeded")
                raise RejectedError(problem, fault=f"429_{short.lower()}", wait_s=wait_s)
        for _, _, budget, amount, limit in checks:
            if limit:
                budget.spend(project, amount, limit, now_s)

    def spend(self, project: str, tokens: int, settings: Settings, now_s: float) -> None:
        """Take the tokens of an answer, which are known only afterwards."""
        if settings.tokens_per_minute:
            self._tokens.spend(project, tokens, settings.tokens_per_minute, now_s)


class Fates:
    """Which request gets which fault: the one that its prompt names, otherwise a random one.

    The random choice depends only on the seed, the request and the number of its attempt: the same job gets the same
    faults in any order of its requests.
    """

    def __init__(self) -> None:
        self._attempts: Counter[str] = Counter()

    def order(self, chat: Chat, shares: Shares, seed: int) -> Order | None:
        """Return the fault for this attempt, None for most attempts.

        Raises:
            RejectedError: a marker in the prompt does not follow the grammar.
        """
        try:
            read = markers.read(text for text in chat.user_texts if markers.SIGN in text)
        except ValueError as error:
            raise bad_request(f"simulator: {error}") from error
        orders = [order for order in read if order.model in (None, chat.model)]
        if not orders and not shares:
            return None
        self._attempts[chat.key] += 1
        attempt = self._attempts[chat.key]
        source = f"{seed}\0{chat.key}\0{attempt}".encode()
        drawn = int.from_bytes(blake2b(source, digest_size=6).digest(), "big") / 2**48
        fault = shares.pick(drawn)
        return markers.due(orders, attempt) or (Order(fault) if fault else None)
