"""A proxy for programs that cannot use the registry themselves: HTTP/1.1, HTTP/2 and CONNECT, TLS by server name, TCP.

`proxy.Proxy` with `listeners.listener(…)` and `limits.Limits`; `roadstead proxy` is its command.
"""

from __future__ import annotations

from roadstead.proxy.limits import Limits
from roadstead.proxy.listeners import Listener, listener
from roadstead.proxy.proxy import Proxy

__all__ = ["Limits", "Listener", "Proxy", "listener"]
