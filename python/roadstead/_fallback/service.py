"""What `find` hands out."""

from __future__ import annotations

from typing import final

from roadstead import _lowered as low


@final
class Service:
    """One service; made once per unit and handed out again. ports: (number, name, protocol class) in declared order."""

    __slots__ = ("_index", "_protocols", "addresses", "host", "namespace", "ports", "spec")

    host: str
    namespace: str
    addresses: tuple[str, ...]
    ports: tuple[tuple[int, str, int], ...]
    spec: object
    _index: int
    _protocols: dict[int, int]

    @classmethod
    def _made(cls, service: low.Service) -> Service:
        made = cls()
        made.spec, made.host, made.namespace, made.addresses, ports = service
        made.ports = tuple([(port.number, port.name, port.protocol) for port in ports])
        made._protocols = {number: protocol for number, _, protocol in reversed(made.ports)}
        made._index = -1
        return made

    def __repr__(self) -> str:
        return f"<Service {self.host}>"
