"""What `find` hands out."""

from __future__ import annotations

from typing import final

from roadstead import _lowered as low


@final
class Service:
    """One service; made once per unit and handed out again. ports: (number, name, protocol class) in declared order."""

    __slots__ = ("_at", "_handle", "_index", "_maker", "_protocols", "addresses", "host", "namespace", "ports")

    host: str
    namespace: str
    addresses: tuple[str, ...]
    ports: tuple[tuple[int, str, int], ...]
    _handle: object
    _maker: low.Maker | None
    _at: int
    _index: int
    _protocols: dict[int, int]

    @classmethod
    def _made(cls, service: low.Service, maker: low.Maker | None, at: int) -> Service:
        made = cls()
        made._maker, made._at = maker, at
        made._handle, made.host, made.namespace, made.addresses, ports = service
        made.ports = tuple([(port.number, port.name, port.protocol) for port in ports])
        made._protocols = {number: protocol for number, _, protocol in reversed(made.ports)}
        made._index = -1
        return made

    @property
    def spec(self) -> object:
        return self._handle if self._maker is None else self._maker.service(self._at)

    def __repr__(self) -> str:
        return f"<Service {self.host}>"
