"""`find`: who owns a host and port."""

from __future__ import annotations

from types import ModuleType

import pytest
from tests.core.units import publish, published, service, unit, web

from roadstead import _lowered as low

NAMES = (
    unit("a", service("api.example.com", 80, 443)),
    unit("b", service("*.example.com", 80, 8080)),
    unit("c", service("*.eu.example.com", 80)),
    unit("d", service("vip.test", 3306, 80, addresses=("240.0.0.1", "2001:db8::1"))),
    unit("e", service("net8.test", 80, 81, addresses=("10.0.0.0/8",))),
    unit("f", service("net16.test", 80, addresses=("10.1.0.0/16",))),
    unit("g", service("host32.test", 80, addresses=("10.1.2.3",))),
    unit("h", service("net6.test", 80, addresses=("2001:db8:1::/48",))),
    unit("i", service("db.test", (5432, low.PROTO_TCP), (53, low.PROTO_UDP))),
    unit("j", service("Mixed.Case", 80)),
    unit("k", service("192.168.7.7", 80)),
)

CASES = [
    ("api.example.com", 80, "api.example.com"),
    ("api.example.com", 443, "api.example.com"),
    # An exact name that does not declare the port leaves it to the wildcards.
    ("api.example.com", 8080, "*.example.com"),
    ("api.example.com", 9, None),
    ("x.example.com", 80, "*.example.com"),
    ("x.y.example.com", 80, "*.example.com"),
    ("x.eu.example.com", 80, "*.eu.example.com"),
    ("a.b.eu.example.com", 80, "*.eu.example.com"),
    # The longest wildcard that declares the port.
    ("x.eu.example.com", 8080, "*.example.com"),
    # A wildcard takes at least one character.
    ("eu.example.com", 80, "*.example.com"),
    ("example.com", 80, None),
    (".example.com", 80, None),
    ("xexample.com", 80, None),
    ("API.Example.COM", 80, "api.example.com"),
    ("api.example.com.", 80, "api.example.com"),
    ("X.EU.example.com.", 80, "*.eu.example.com"),
    ("api.example.com..", 80, None),
    ("api.example.com:80", 80, "api.example.com"),
    ("api.example.com:9999", 443, "api.example.com"),
    ("api.example.com.:80", 80, "api.example.com"),
    ("x.example.com:1", 80, "*.example.com"),
    ("240.0.0.1", 3306, "vip.test"),
    ("240.0.0.1:3306", 3306, "vip.test"),
    ("240.0.0.1", 3307, None),
    ("240.0.0.2", 3306, None),
    ("2001:db8::1", 3306, "vip.test"),
    ("[2001:db8::1]", 3306, "vip.test"),
    ("[2001:db8::1]:3306", 3306, "vip.test"),
    ("2001:DB8:0:0:0:0:0:1", 3306, "vip.test"),
    ("10.9.9.9", 80, "net8.test"),
    ("10.1.9.9", 80, "net16.test"),
    ("10.1.2.3", 80, "host32.test"),
    # The longest CIDR that declares the port.
    ("10.1.9.9", 81, "net8.test"),
    ("10.1.2.3", 81, "net8.test"),
    ("11.0.0.1", 80, None),
    ("2001:db8:1::99", 80, "net6.test"),
    ("2001:db8:2::99", 80, None),
    ("db.test", 5432, "db.test"),
    ("db.test", 53, "db.test"),
    ("mixed.case", 80, "Mixed.Case"),
    ("Mixed.Case", 80, "Mixed.Case"),
    ("192.168.7.7", 80, "192.168.7.7"),
    ("192.168.7.7:80", 80, "192.168.7.7"),
    ("", 80, None),
    (":80", 80, None),
    ("[", 80, None),
    ("unknown.test", 80, None),
    ("010.1.2.3", 80, None),
]


@pytest.mark.parametrize(("host", "port", "owner"), CASES)
def test_find(engine: ModuleType, host: str, port: int, owner: str | None) -> None:
    found = published(engine, *NAMES).find(host, port)
    assert (found and found.host) == owner


def test_what_is_found(engine: ModuleType) -> None:
    handle = object()
    made = service("a.test", 443, (80, low.PROTO_TCP), addresses=("1.2.3.4", "10.0.0.0/8"), handle=handle)
    eng = published(engine, unit("a", made))
    found = eng.find("a.test", 80)
    assert found is not None
    assert (found.host, found.namespace, found.addresses) == ("a.test", "ns", ("1.2.3.4", "10.0.0.0/8"))
    assert found.ports == ((443, "p443", low.PROTO_HTTP), (80, "p80", low.PROTO_TCP))
    assert found.spec is handle
    # Made once, handed out again.
    assert eng.find("A.test", 443) is found
    assert eng.find("1.2.3.4", 80) is found


def test_everything_wildcard(engine: ModuleType) -> None:
    eng = published(engine, unit("a", service("*", 80)), unit("b", service("*.test", 80)))
    assert [found and found.host for found in (eng.find("x.test", 80), eng.find("x", 80), eng.find("x", 81))] == [
        "*.test",
        "*",
        None,
    ]


def test_an_object_outlives_its_unit(engine: ModuleType) -> None:
    eng = published(engine, web("a.test"))
    found = eng.find("a.test", 80)
    publish(eng, delete=["a.test"])
    assert eng.find("a.test", 80) is None
    assert found is not None
    assert found.host == "a.test"
