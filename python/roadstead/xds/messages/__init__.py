"""The one description of every Envoy message that is written: field, number, type, oneof, map, Any, wrapper, enum.
Data only; JSON follows from it, and so do the bytes.
"""

from roadstead.xds.messages import cluster, core, listener, route
from roadstead.xds.schema import MessageType

MESSAGES: dict[str, MessageType] = {
    message.name: message for message in (*core.TABLE, *route.TABLE, *cluster.TABLE, *listener.TABLE)
}

__all__ = ["MESSAGES", "cluster", "core", "listener", "route"]
