"""Units made of one another: a template's texts with names in their places."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar, final

from roadstead import _lowered as low
from roadstead.errors import EngineError

_PLACE = re.compile("\x01(\\d+)\x02")
_WRITTEN = re.compile(r"\\x01(\d+)\\x02")

T = TypeVar("T")


@final
class Template:
    """A unit of which others are made."""

    __slots__ = ("_last", "_unit")

    _unit: low.Unit
    # The highest index of a name, -1 without any.
    _last: int

    @classmethod
    def _of(cls, unit: low.Unit) -> Template:
        routes = [route for host in unit.virtual_hosts for route in host.routes]
        if (
            _named([(route.match, route.request_ops, route.response_ops, route.hash_policies) for route in routes])
            or _named([(route.prefix_rewrite, route.regex_rewrite, route.fault) for route in routes])
            or _named([chain.hash_policies for chain in unit.chains])
        ):
            raise EngineError(
                "a template has no names in conditions, rewrites of paths, header operations and hash policies"
            )
        made = cls()
        made._unit = unit
        made._last = max((int(index) for index in _WRITTEN.findall(repr(unit))), default=-1)
        return made

    def _filled(self, names: tuple[str, ...], maker: low.Maker | None) -> low.Unit:
        return _texts(self._unit, lambda place: names[int(place[1])])._replace(maker=maker)


def _named(value: object) -> bool:
    return "\\x01" in repr(value)


def _texts(value: T, name: Callable[[re.Match[str]], str]) -> T:
    """The value with every text in it filled in; what has no places stays the same object."""
    if isinstance(value, str):
        return _PLACE.sub(name, value) if "\x01" in value else value  # type: ignore[return-value]
    if not isinstance(value, tuple):
        return value
    made = [_texts(item, name) for item in value]
    if all(one is other for one, other in zip(made, value, strict=True)):
        return value
    return tuple.__new__(type(value), made)
