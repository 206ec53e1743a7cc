"""Leases: what a try of a request or a connection holds while it lasts."""

from __future__ import annotations

import warnings
from types import TracebackType
from typing import TYPE_CHECKING, Self, final

from roadstead._fallback import overlay
from roadstead._fallback.outliers import End, http_status
from roadstead.errors import Overflow

if TYPE_CHECKING:
    from roadstead._fallback.cluster import Cluster, Endpoint

_MESSAGES = {
    "max_connections": "the cluster has as many connections as it may have",
    "max_pending_requests": "as many requests as may wait for a connection do",
    "max_requests": "the cluster has as many requests as it may have",
    "max_retries": "the cluster has as many retries as it may have",
}


class _Lease:
    """Ends once: by `finish`, by leaving its block, or, with a warning, when it is collected."""

    __slots__ = ("__weakref__", "_done", "cluster", "endpoint")

    endpoint: Endpoint
    cluster: Cluster
    _done: bool

    def finish(
        self,
        *,
        status: int | None = None,
        error: str | None = None,
        grpc_status: int | None = None,
        now: int | None = None,
    ) -> None:
        """End it; the first call counts. status: HTTP status; error: "connect_failure" | "connect_timeout" | "reset" |
        "timeout" | "try_timeout" | other text (local origin); grpc_status: of a response's headers, in place of its
        HTTP status; none of them: it went well. now: ns of the engine's clock."""
        if not self._ended():
            return
        if grpc_status is not None:
            status = http_status(grpc_status)
        live, slot = self.cluster._live, self.endpoint._slot
        overlay.count_outcome(live, slot, status, error, request=isinstance(self, RequestLease))
        policy = self.cluster._outliers
        if policy is not None:
            with live.lock:
                hits = policy.ended(slot, self._end(status, error, grpc_status is not None))
            if hits:
                live.tell(self.cluster.name, slot, hits, now)

    def _end(self, status: int | None, error: str | None, grpc: bool) -> End:
        raise NotImplementedError

    def _ended(self) -> bool:
        with self.cluster._live.lock:
            first, self._done = not self._done, True
            if first:
                self._release()
        return first

    def _release(self) -> None:
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.finish()
        elif issubclass(kind, Exception):
            self.finish(error="exception")
        else:
            # The caller was cancelled or is to end: that says nothing of the endpoint.
            self._ended()

    def __del__(self) -> None:
        if not getattr(self, "_done", True) and self._ended():
            warnings.warn(f"a lease on {self.cluster.name} was dropped without finish()", ResourceWarning, stacklevel=2)

    def __repr__(self) -> str:
        state = "finished" if self._done else "open"
        return (
            f"<{type(self).__name__} {self.endpoint.address}:{self.endpoint.port} cluster={self.cluster.name} {state}>"
        )


@final
class RequestLease(_Lease):
    """One try of a request."""

    __slots__ = ("_pending", "_retry", "_told")

    _pending: bool
    _retry: bool
    # That the connection is there was told.
    _told: bool

    @classmethod
    def _taken(cls, cluster: Cluster, endpoint: Endpoint, retry: bool, pending: bool) -> RequestLease:
        made = cls()
        made.cluster, made.endpoint, made._retry, made._pending, made._done = cluster, endpoint, retry, pending, True
        made._told = False
        live, limits = cluster._live, cluster._low.limits
        if retry:
            _refuse(overlay.acquire_retry(live, limits), cluster)
        if pending:
            limit = overlay.acquire_pending(live, limits)
        else:
            limit = overlay.acquire_request(live, endpoint._slot, limits)
        if limit and retry:
            overlay.release_retry(live)
        _refuse(limit, cluster)
        made._done = False
        return made

    def ready(self) -> None:
        """The connection that a pending request waited for is there. Overflow at max_requests, which ends the lease."""
        live = self.cluster._live
        with live.lock:
            if self._done or not self._pending:
                return
            self._pending = False
            self._told = True
            overlay.release_pending(live)
            limit = overlay.acquire_request(live, self.endpoint._slot, self.cluster._low.limits)
            if limit:
                self._done = True
                if self._retry:
                    overlay.release_retry(live)
            elif self.cluster._outliers is not None:
                self.cluster._outliers.connected(self.endpoint._slot, connection=False)
        _refuse(limit, self.cluster)

    def _end(self, status: int | None, error: str | None, grpc: bool) -> End:
        return End(status, error, False, grpc, self._pending, self._told)

    def _release(self) -> None:
        live = self.cluster._live
        if self._pending:
            overlay.release_pending(live)
        else:
            overlay.release_request(live, self.endpoint._slot)
        if self._retry:
            overlay.release_retry(live)


@final
class ConnectionLease(_Lease):
    """One upstream connection."""

    __slots__ = ("_told",)

    _told: bool

    @classmethod
    def _taken(cls, cluster: Cluster, endpoint: Endpoint) -> ConnectionLease:
        made = cls()
        made.cluster, made.endpoint, made._done, made._told = cluster, endpoint, True, False
        _refuse(overlay.acquire_connection(cluster._live, endpoint._slot, cluster._low.limits), cluster)
        made._done = False
        return made

    def ready(self) -> None:
        """The connection is there: a success for outlier detection now, not only when it ends. Later calls do
        nothing."""
        with self.cluster._live.lock:
            if self._done or self._told:
                return
            self._told = True
            if self.cluster._outliers is not None:
                self.cluster._outliers.connected(self.endpoint._slot, connection=True)

    def _release(self) -> None:
        overlay.release_connection(self.cluster._live, self.endpoint._slot)

    def _end(self, status: int | None, error: str | None, grpc: bool) -> End:
        return End(status, error, True, grpc, told=self._told)


def _refuse(limit: str, cluster: Cluster) -> None:
    if limit:
        raise Overflow(f"{cluster.name}: {_MESSAGES[limit]} ({limit})", limit)
