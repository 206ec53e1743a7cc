"""Abstract faces of what the engines hand out, so that `isinstance` holds whichever engine made the object.

Each engine has classes of these names (`_core.pyi` says what they can do). Nothing is registered: a class is a subclass
when it is the class of that name in an engine that is loaded.
"""

from __future__ import annotations

import sys
from abc import ABC

_ENGINES = ("roadstead._core", "roadstead._fallback")


class _EngineObject(ABC):  # noqa: B024 - a face: what it can do is said by the contract
    """Base of the faces; `_names` are the engine classes that count."""

    __slots__ = ()
    _names: tuple[str, ...] = ()

    @classmethod
    def __subclasshook__(cls, other: type, /) -> bool:
        # Loaded engines only: asking must not import one.
        for module in _ENGINES:
            engine = sys.modules.get(module)
            if engine is not None and any(getattr(engine, name, None) is other for name in cls._names):
                return True
        return NotImplemented  # type: ignore[no-any-return]


class Decision(_EngineObject):
    """Where a request or connection goes, under which policy (`_core.pyi`, Decision)."""

    __slots__ = ()
    _names = ("Decision",)


class Service(_EngineObject):
    """The owner of a host and port (`_core.pyi`, Service)."""

    __slots__ = ()
    _names = ("Service",)


class Cluster(_EngineObject):
    """An upstream cluster with its policy and live state (`_core.pyi`, Cluster)."""

    __slots__ = ()
    _names = ("Cluster",)


class Endpoint(_EngineObject):
    """One host of a cluster (`_core.pyi`, Endpoint)."""

    __slots__ = ()
    _names = ("Endpoint",)


class Exchange(_EngineObject):
    """One request on its way: tries, time limits, faults (`_core.pyi`, Exchange)."""

    __slots__ = ()
    _names = ("Exchange",)


class Lease(_EngineObject):
    """One request's or connection's hold on an endpoint (`_core.pyi`, RequestLease and ConnectionLease)."""

    __slots__ = ()
    _names = ("RequestLease", "ConnectionLease")
