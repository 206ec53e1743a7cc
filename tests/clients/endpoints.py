"""Servers that keep what they were sent, byte for byte, and answer by a script."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

Peer = tuple[str, int]


class Heard:
    """A server of raw connections. connections: what each sent so far; peers: who they are, as the system says."""

    def __init__(self, serve: Callable[[Talk], None], context: ssl.SSLContext | None, before: bytes) -> None:
        self._serve, self._context, self._before = serve, context, before
        self.connections: list[bytearray] = []
        self.peers: list[Peer] = []
        self._sockets: list[socket.socket] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                made, peer = self._listening.accept()
                kept = bytearray()
                self.connections.append(kept)
                self.peers.append(peer)
                self._sockets.append(made)
                self._threads.append(threading.Thread(target=self._talk, args=(made, kept), daemon=True))
                self._threads[-1].start()

    def _talk(self, made: socket.socket, kept: bytearray) -> None:
        with made, suppress(OSError):
            made.settimeout(30)
            talk = Talk(made, kept)
            if self._before:
                # Before any TLS.
                talk.until(self._before)
            if self._context is not None:
                talk.made = self._context.wrap_socket(made, server_side=True)
                self._sockets.append(talk.made)
            with talk.made:
                self._serve(talk)

    def close(self) -> None:
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for one in self._sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(30)


class Talk:
    """One connection, as the server's script sees it."""

    def __init__(self, made: socket.socket, kept: bytearray) -> None:
        self.made, self.kept = made, kept

    def more(self) -> bytes:
        """The next bytes, b"" at the end."""
        data = self.made.recv(65536)
        self.kept += data
        return data

    def until(self, end: bytes) -> None:
        """Reads as far as `end`, and no further."""
        while not self.kept.endswith(end):
            data = self.made.recv(1)
            if not data:
                raise ConnectionError(f"no {end!r}")
            self.kept += data

    def say(self, data: bytes) -> None:
        self.made.sendall(data)

    def echo(self) -> None:
        """Sends everything back until its end."""
        while data := self.more():
            self.say(data)


@contextmanager
def heard(
    serve: Callable[[Talk], None] = Talk.echo, context: ssl.SSLContext | None = None, before: bytes = b""
) -> Iterator[Heard]:
    """before: what ends the bytes that come before TLS."""
    server = Heard(serve, context, before)
    try:
        yield server
    finally:
        server.close()
