"""The server name of a TLS client, read from its first bytes by OpenSSL; nothing is answered, nothing is decrypted."""

from __future__ import annotations

import ssl

# A ClientHello with post-quantum keys and long tickets stays well below.
_MOST = 64 * 1024


class NoHello(Exception):
    """What the client sent does not begin a TLS handshake."""


class HelloReader:
    """Takes bytes until the name is known."""

    def __init__(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.sni_callback = self._told
        self._name: str | None = None
        self._is_known = False
        self._incoming = ssl.MemoryBIO()
        self._handshake = context.wrap_bio(self._incoming, ssl.MemoryBIO(), server_side=True)
        self._size = 0

    def feed(self, data: bytes) -> bool:
        """Whether the name is known by now. NoHello where these are not the first bytes of TLS."""
        self._size += len(data)
        self._incoming.write(data)
        try:
            self._handshake.do_handshake()
        except ssl.SSLWantReadError:
            if self._size > _MOST:
                raise NoHello(f"no ClientHello within {_MOST} bytes") from None
        except ssl.SSLError as error:
            if not self._is_known:
                raise NoHello(str(error)) from None
        return self._is_known

    @property
    def name(self) -> str | None:
        """What the client asked for, in lower case; None where it named no server."""
        return None if self._name is None else self._name.lower().rstrip(".")

    def _told(self, _: object, name: str | None, __: object) -> int:
        self._name = name
        self._is_known = True
        # Any number ends the handshake with an alert, which nobody is sent.
        return int(ssl.ALERT_DESCRIPTION_USER_CANCELLED)


__all__ = ["HelloReader", "NoHello"]
