"""Names that are spelt nearly like another one."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

_LIKE = 0.8
# Comparing letter by letter is slow: of many names only those of about the same length with the same end.
_MANY = 2_000


def similar(name: str, known: Iterable[str]) -> tuple[str, ...]:
    """At most three of them, best first; what follows the first dot has to be the same where there are many."""
    names = set(known)
    if len(names) > _MANY:
        end = name.partition(".")[2]
        names = {one for one in names if abs(len(one) - len(name)) < 3 and one.partition(".")[2] == end}
    return tuple(get_close_matches(name, sorted(names), n=3, cutoff=_LIKE))
