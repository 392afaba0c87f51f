"""The keys that requests have in jobs that call their model by another name, for what is looked up in other runs."""

from collections.abc import Collection, Mapping


class OtherKeys:
    """Collects them while requests are made. The keys of the requests themselves stay what they are."""

    def __init__(self, names: Mapping[str, Collection[str]]) -> None:
        """Begin with none; `names` has, by model of the job, all names that it goes by, its own among them."""
        self.names = names
        self._listed: list[tuple[bytes, bytes]] = []

    def note(self, keys: Collection[bytes], alike: bytes) -> None:
        """Note the keys of one request, and the hash that they have in common."""
        self._listed += [(key, alike) for key in keys]

    def taken(self) -> list[tuple[bytes, bytes]]:
        """Return what was noted since the last call: keys, each with what those of the same request have in common."""
        listed, self._listed = self._listed, []
        return listed
