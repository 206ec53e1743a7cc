"""Lines of the access log. What Envoy writes is recorded: its default format over a request with and without values."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

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
