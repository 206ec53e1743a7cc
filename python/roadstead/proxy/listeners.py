"""Where a proxy listens, and what for."""

from __future__ import annotations

import ipaddress
from typing import Literal, NamedTuple, TypeAlias

from roadstead.errors import InputError

Kind: TypeAlias = Literal["http", "tls", "tcp"]


class Listener(NamedTuple):
    """kind: "http" takes requests and CONNECT; "tls" carries TLS by its server name; "tcp" carries connections.
    host, port: an IP to listen on; port 0 for a free one. to: where a tcp connection goes, (host, port); None: to the
    address that was dialled (a virtual IP, or what the system's firewall redirected). to_port: of a tls listener; 0:
    the port that was dialled."""

    kind: Kind
    host: str
    port: int
    to: tuple[str, int] | None = None
    to_port: int = 0

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches it."""
        return ipaddress.ip_address(self.host).is_loopback


def listener(kind: Kind, text: str) -> Listener:
    """Of its text: "127.0.0.1:15001"; tls also "127.0.0.1:15443=443", tcp "127.0.0.1:5432=postgres.example.com:5432".
    InputError says what is wrong with it."""
    where, equals, what = text.partition("=")
    host, port = _address(text, where)
    if not equals:
        return Listener(kind, host, port)
    if kind == "tls" and what.isdigit() and 0 < int(what) < 65536:
        return Listener(kind, host, port, to_port=int(what))
    if kind == "tcp":
        name, colon, number = what.rpartition(":")
        if colon and name and number.isdigit() and 0 < int(number) < 65536:
            return Listener(kind, host, port, to=(name.strip("[]"), int(number)))
    wanted = {"http": "nothing", "tls": "a port, as 443", "tcp": "host:port, as postgres.example.com:5432"}[kind]
    raise InputError(f"{kind} listener {text!r}: after = belongs {wanted}")


def _address(text: str, where: str) -> tuple[str, int]:
    host, colon, port = where.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535:
        raise InputError(f"listener {text!r}: write IP:port, as 127.0.0.1:15001")
    try:
        return str(ipaddress.ip_address(host.strip("[]"))), int(port)
    except ValueError as error:
        raise InputError(f"listener {text!r}: {host!r} is no IP address; write one, as 127.0.0.1") from error


__all__ = ["Kind", "Listener", "listener"]
