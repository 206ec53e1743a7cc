"""Tunnels: what is asked of an endpoint so that it leads on to another place (Envoy: tcp_proxy's tunneling_config)."""

from __future__ import annotations

import re

from roadstead.errors import TunnelRefused
from roadstead.mesh import Tunnel

# What an answer's head may have of bytes.
_MOST = 60 * 1024
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})(?: ([^\r\n]*))?\r?\n")


def request_of(tunnel: Tunnel) -> bytes:
    """The head of the request, byte for byte as Envoy writes it."""
    where = tunnel.authority
    if tunnel.protocol == "POST":
        return f"POST / HTTP/1.1\r\nhost: {where}\r\ntransfer-encoding: chunked\r\n\r\n".encode()
    return f"CONNECT {where} HTTP/1.1\r\nhost: {where}\r\n\r\n".encode()


class Answer:
    """The answer to a CONNECT, as it comes. asked: of whom, for messages."""

    def __init__(self, tunnel: Tunnel, asked: str) -> None:
        self._what = f"{asked}: asked to {tunnel.protocol} {tunnel.authority}, it"
        self._head = b""

    def feed(self, data: bytes) -> bytes | None:
        """None while there has to be more; then what came behind the head. TunnelRefused where it is no yes, or ends
        (no data)."""
        if not data:
            raise TunnelRefused(f"{self._what} closed the connection")
        self._head += data
        while True:
            head, end, rest = self._head.partition(b"\r\n\r\n")
            if not end:
                if len(head) > _MOST:
                    raise TunnelRefused(f"{self._what} answered with a head of more than {_MOST} bytes")
                return None
            found = _STATUS.match(head + end)
            if found is None:
                raise TunnelRefused(f"{self._what} answered what is no HTTP/1.1")
            status = int(found[1])
            if 200 <= status < 300:
                return rest
            if status >= 200 or status == 101:
                raise TunnelRefused(f"{self._what} answered {status} {(found[2] or b'').decode('latin-1')}".rstrip())
            # Interim: the answer is still to come.
            self._head = rest


__all__ = ["Answer", "request_of"]
