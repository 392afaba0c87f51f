"""Facts of a checkpoint, without one."""

from typing import Any


class Notes:
    """Facts of a checkpoint."""

    def __init__(self) -> None:
        self.found: dict[str, Any] = {}
        """Name → value."""

    def fact(self, fact: Any) -> Any:
        """Return a fact; None where it was not noted."""
        return self.found.get(fact.name)

    def set_fact(self, fact: Any, value: Any) -> None:
        """Note a fact."""
        self.found[fact.name] = value
