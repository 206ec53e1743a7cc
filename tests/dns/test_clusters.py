"""What a cluster has while its names mean what they mean."""

from __future__ import annotations

from roadstead import Registry
from roadstead.dns import Answer
from roadstead.dns.clusters import endpoints_of, names_of
from roadstead.dns.names import NameState
from roadstead.mesh import Cluster

ENTRY = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: two}
spec:
  hosts: [two.test]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: %s
  endpoints:
  - {address: a.test, ports: {http: 8080}, locality: r/z1, weight: 3, labels: {version: v1}}
"""
SECOND = "  - {address: b.test, locality: r/z2}\n"
STATIC = "  - {address: 10.9.9.9, locality: r/z2}\n"


def cluster(resolution: str, more: str = "") -> Cluster:
    registry = Registry.from_text(ENTRY % resolution + more)
    return next(one for host in registry.mesh.hosts.values() for one in host.clusters)


def known(**answers: tuple[str, ...]) -> dict[str, NameState]:
    names = {f"{name}.test": NameState() for name in "ab"}
    for name, addresses in answers.items():
        names[f"{name}.test"].took(Answer(addresses, 30), 0, 0)
    return names


def told(made: Cluster, names: dict[str, NameState]) -> list[tuple[str, int, str, str, int]]:
    return [(one.address, one.port, one.kind, one.hostname, one.weight) for one in endpoints_of(made, names, 0)]


def test_each_address_is_an_endpoint() -> None:
    made = cluster("DNS", SECOND)
    assert (made.type, names_of(made)) == ("STRICT_DNS", ("a.test", "b.test"))
    assert told(made, known(a=("10.0.0.1", "10.0.0.2"), b=("10.0.0.1",))) == [
        ("10.0.0.1", 8080, "ip", "a.test", 3),
        ("10.0.0.2", 8080, "ip", "a.test", 3),
        ("10.0.0.1", 80, "ip", "b.test", 1),
    ]
    first = endpoints_of(made, known(a=("10.0.0.1",)), 0)[0]
    assert (first.locality, first.labels["version"]) == ("r/z1", "v1")


def test_a_logical_host_is_the_first_address() -> None:
    made = cluster("DNS_ROUND_ROBIN")
    assert made.type == "LOGICAL_DNS"
    assert told(made, known(a=("10.0.0.1", "10.0.0.2"))) == [("10.0.0.1", 8080, "ip", "a.test", 3)]


def test_names_in_a_static_entry_stand_beside_addresses() -> None:
    made = cluster("STATIC", STATIC)
    assert names_of(made) == ("a.test",)
    assert [one[0] for one in told(made, known(a=("10.0.0.1",)))] == ["10.0.0.1", "10.9.9.9"]
