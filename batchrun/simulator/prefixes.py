"""The prefix cache: remembers recent system prompts, whose tokens are cheaper."""

from __future__ import annotations

# vLLM caches whole blocks of this many tokens.
_BLOCK_TOKENS = 16
_CAPACITY = 1024


class PrefixCache:
    """The prefixes of the most recent answers; the oldest is dropped first."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str, str], None] = {}

    def cached_tokens(self, model: str, salt: str, prefix: str, tokens: int) -> int:
        """Return how many tokens of a prefix are cached, and cache it."""
        if tokens < _BLOCK_TOKENS:
            return 0
        known = (model, salt, prefix)
        hit = known in self._seen
        self._seen.pop(known, None)
        self._seen[known] = None
        if len(self._seen) > _CAPACITY:
            del self._seen[next(iter(self._seen))]
        return tokens - tokens % _BLOCK_TOKENS if hit else 0
