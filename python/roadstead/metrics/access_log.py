"""Envoy's access log: a line a request or connection, in Envoy's default format, in Istio's, or as Istio's JSON."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, TextIO, TypeAlias

if TYPE_CHECKING:
    import os

Form: TypeAlias = Literal["envoy", "istio", "json"]
FORMS: tuple[Form, ...] = ("envoy", "istio", "json")


class Entry(NamedTuple):
    """What is told of a request or a connection. start: seconds since 1970. received, sent: bytes of the bodies (of a
    connection: all). duration, upstream_time: milliseconds; the latter until an upstream's response began. None: there
    is none."""

    start: float
    method: str | None = None
    path: str | None = None
    protocol: str | None = None
    status: int = 0
    flags: str = ""
    details: str | None = None
    termination: str | None = None
    failure: str | None = None
    received: int = 0
    sent: int = 0
    duration: int = 0
    upstream_time: int | None = None
    forwarded_for: str | None = None
    user_agent: str | None = None
    request_id: str | None = None
    authority: str | None = None
    upstream_host: str | None = None
    upstream_cluster: str | None = None
    upstream_local: str | None = None
    downstream_local: str | None = None
    downstream_remote: str | None = None
    server_name: str | None = None
    route: str | None = None


def _envoy(one: Entry) -> str:
    """Envoy's default format string."""
    return (
        f'[{_instant(one.start)}] "{one.method or "-"} {one.path or "-"} {one.protocol or "-"}" {one.status} '
        f"{one.flags or '-'} {one.received} {one.sent} {one.duration} {_number(one.upstream_time)} "
        f'"{one.forwarded_for or "-"}" "{one.user_agent or "-"}" "{one.request_id or "-"}" "{one.authority or "-"}" '
        f'"{one.upstream_host or "-"}"\n'
    )


def _istio(one: Entry) -> str:
    """Istio's default accessLogFormat."""
    return (
        f'[{_instant(one.start)}] "{one.method or "-"} {one.path or "-"} {one.protocol or "-"}" {one.status} '
        f'{one.flags or "-"} {one.details or "-"} {one.termination or "-"} "{one.failure or "-"}" {one.received} '
        f"{one.sent} {one.duration} {_number(one.upstream_time)} "
        f'"{one.forwarded_for or "-"}" "{one.user_agent or "-"}" "{one.request_id or "-"}" "{one.authority or "-"}" '
        f'"{one.upstream_host or "-"}" {one.upstream_cluster or "-"} {one.upstream_local or "-"} '
        f"{one.downstream_local or '-'} {one.downstream_remote or '-'} {one.server_name or '-'} {one.route or '-'}\n"
    )


def _json(one: Entry) -> str:
    """Istio's JSON: its keys, null for what there is not."""
    return (
        json.dumps(
            {
                "start_time": _instant(one.start),
                "method": one.method,
                "path": one.path,
                "protocol": one.protocol,
                "response_code": one.status,
                "response_flags": one.flags or "-",
                "response_code_details": one.details,
                "connection_termination_details": one.termination,
                "upstream_transport_failure_reason": one.failure,
                "bytes_received": one.received,
                "bytes_sent": one.sent,
                "duration": one.duration,
                "upstream_service_time": None if one.upstream_time is None else str(one.upstream_time),
                "x_forwarded_for": one.forwarded_for,
                "user_agent": one.user_agent,
                "request_id": one.request_id,
                "authority": one.authority,
                "upstream_host": one.upstream_host,
                "upstream_cluster": one.upstream_cluster,
                "upstream_local_address": one.upstream_local,
                "downstream_local_address": one.downstream_local,
                "downstream_remote_address": one.downstream_remote,
                "requested_server_name": one.server_name,
                "route_name": one.route,
            },
            separators=(",", ":"),
        )
        + "\n"
    )


_WRITERS: dict[Form, Callable[[Entry], str]] = {"envoy": _envoy, "istio": _istio, "json": _json}


def written(one: Entry, form: Form = "envoy") -> str:
    """One line, with its end."""
    return _WRITERS[form](one)


class AccessLog:
    """Lines to a file, or to a stream that is there (standard output). They are gathered, and written by `flush` or
    when there are many; what cannot be written (a full disk) is lost, and counted. OSError where the file cannot be
    opened."""

    def __init__(self, out: str | os.PathLike[str] | TextIO, form: Form = "envoy") -> None:
        self._write = _WRITERS[form]
        self._lines: list[str] = []
        self.lost = 0
        self._path = out if not hasattr(out, "write") else None
        self._file: TextIO = self._opened() if self._path is not None else out  # type: ignore[assignment]

    def add(self, one: Entry) -> None:
        """A request is over."""
        self._lines.append(self._write(one))
        if len(self._lines) >= 256:
            self.flush()

    def flush(self) -> None:
        """Write what was gathered."""
        if self._lines:
            text, count = "".join(self._lines), len(self._lines)
            self._lines.clear()
            try:
                self._file.write(text)
                self._file.flush()
            except OSError:
                self.lost += count

    def reopen(self) -> None:
        """The file was moved away (logrotate): go on in a new one of its name."""
        self.flush()
        if self._path is not None:
            self._file.close()
            self._file = self._opened()

    def close(self) -> None:
        """Write the rest; a file of its own is closed."""
        self.flush()
        if self._path is not None:
            self._file.close()

    def _opened(self) -> TextIO:
        assert self._path is not None
        return Path(str(self._path)).open("a", encoding="utf-8", errors="backslashreplace")


def _instant(seconds: float) -> str:
    """%START_TIME%: UTC, milliseconds."""
    whole, thousandths = divmod(int(seconds * 1000), 1000)
    return f"{_second(whole)}.{thousandths:03d}Z"


@lru_cache(16)
def _second(whole: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))


def _number(value: int | None) -> str:
    return "-" if value is None else str(value)


__all__ = ["FORMS", "AccessLog", "Entry", "Form", "written"]
