"""Names of columns that come together from several places."""

from collections.abc import Iterable, Sequence


def without_clashes(names: Sequence[str], taken: Iterable[str], prefix: str) -> list[str]:
    """Return names of which none is taken, nor another of them: a clash is prefixed until it is none."""
    used = set(taken)
    result = []
    for name in names:
        renamed = name
        while renamed in used or (renamed != name and renamed in names):
            renamed = prefix + renamed
        used.add(renamed)
        result.append(renamed)
    return result
