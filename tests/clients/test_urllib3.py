"""What goes over the wire: short requests are written by one piece, the others by the library."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.clients.meshes import URL, entry
from tests.clients.servers import Servers, servers

from roadstead import Registry
from roadstead.clients.urllib3 import PoolManager

LONG = b"x" * 200_000


@pytest.fixture
def made() -> Iterator[Servers]:
    with servers() as all_of_them:
        yield all_of_them


@pytest.mark.parametrize(
    ("method", "body", "headers", "length"),
    [
        ("GET", None, {}, None),
        ("DELETE", None, {}, None),
        ("POST", None, {}, "0"),
        ("PUT", b"", {}, "0"),
        ("POST", b"hello", {}, "5"),
        ("POST", b"hello", {"Content-Length": "5"}, "5"),
        ("POST", "hellö", {}, "6"),
        ("POST", LONG, {}, "200000"),
        ("POST", (b"hel", b"lo"), {}, None),
        ("POST", b"hello", {"Transfer-Encoding": "chunked"}, None),
    ],
    ids=range(10),
)
def test_bodies_are_framed(
    made: Servers, method: str, body: object, headers: dict[str, str], length: str | None
) -> None:
    server = made.http()
    with PoolManager(Registry.from_text(entry(server.port))) as manager:
        answer = manager.request(method, URL, body=body, headers=headers)
    assert answer.status == 200
    got = server.requests[0]
    assert got.header("content-length") == length
    assert (got.header("transfer-encoding") == "chunked") == (method == "POST" and length is None)
    whole = body.encode() if isinstance(body, str) else body if isinstance(body, bytes) else b"hello"
    assert got.body == (b"" if body is None else whole)


def test_nothing_is_added(made: Servers) -> None:
    server = made.http()
    with PoolManager(Registry.from_text(entry(server.port))) as manager:
        manager.request("GET", URL, headers={"X-One": "1"})
    names = [name for name, _ in server.requests[0].headers]
    assert [name.lower() for name in names] == ["host", "x-one", "x-envoy-attempt-count"]


@pytest.mark.parametrize(
    "headers", [{"x": "1\r\ny: 2"}, {"x\r\ny": "1"}, {"x": "1\n"}, {"x y:": "1"}], ids=["value", "name", "end", "colon"]
)
def test_a_line_that_would_be_two_is_refused(made: Servers, headers: dict[str, str]) -> None:
    server = made.http()
    with PoolManager(Registry.from_text(entry(server.port))) as manager:
        with pytest.raises(ValueError, match="header"):
            manager.request("GET", URL, headers=headers)
        assert manager.request("GET", URL).status == 200
    assert len(server.requests) == 1
