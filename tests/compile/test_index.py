"""Facts by what they are looked up by, and what a change of them touches."""

from __future__ import annotations

import pytest
from tests.compile.selecting import document, resources, service

from roadstead.compile.index import Index
from roadstead.compile.touch import Touch
from roadstead.config import ResourceKey


def index(text: str) -> Index:
    made = Index()
    put(made, text)
    return made


def put(made: Index, text: str) -> Touch:
    touch = Touch()
    for resource in resources(text):
        made.put(resource, touch)
    return touch


def delete(made: Index, key: ResourceKey) -> Touch:
    touch = Touch()
    made.delete(key, touch)
    return touch


VS = "hosts: [a.com], http: [{route: [{destination: {host: d.com}}]}]"
DELEGATING = "hosts: [root.com], http: [{delegate: {name: part, namespace: there}}]"
DELEGATE = "http: [{route: [{destination: {host: far.com}}]}]"


@pytest.mark.parametrize(
    ("text", "what", "touched"),
    [
        (service("here/one", "A.com, b.com"), "hosts", {"A.com", "b.com"}),
        (service("here/one", "a.com", age=1970), "ports", {(80, (0.0, "a.com"))}),
        (document("VS", "here/one", VS), "routed", {"a.com"}),
        (document("VS", "here/one", VS), "targets", {"d.com"}),
        (document("VS", "here/one", VS.replace("a.com", "short")), "routed", {"short.here.svc.cluster.local"}),
        (document("DR", "here/one", "host: short"), "ruled", {"short.here.svc.cluster.local"}),
        (
            document("WE", "here/one", "address: 10.0.0.1, labels: {app: x}, locality: r1"),
            "tokens",
            {
                "w:here:",
                "w:here:app=x",
                "w:here:topology.kubernetes.io/region=r1",
                "w:here:topology.istio.io/cluster=Kubernetes",
            },
        ),
        (document("SC", "here/one", "outboundTrafficPolicy: {}"), "sidecars", {"here"}),
        (document("PA", "here/one", "mtls: {mode: STRICT}"), "peers", {"here"}),
    ],
)
def test_touch(text: str, what: str, touched: set[object]) -> None:
    made = Index()
    assert getattr(put(made, text), what) == touched
    (resource,) = resources(text)
    assert getattr(delete(made, resource.key), what) == touched
    assert getattr(delete(made, resource.key), what) in (set(), touched)


def test_a_change_touches_what_was_before_and_what_is_now() -> None:
    made = index(
        service("here/one", "a.com") + document("VS", "here/one", VS) + document("DR", "here/one", "host: r.com")
    )
    assert put(made, service("here/one", "b.com")).hosts == {"a.com", "b.com"}
    assert put(made, document("VS", "here/one", VS.replace("a.com", "b.com"))).routed == {"a.com", "b.com"}
    assert put(made, document("DR", "here/one", "host: s.com")).ruled == {"r.com", "s.com"}


def test_a_delegate_touches_its_roots_there_or_not() -> None:
    made = index(document("VS", "here/root", DELEGATING))
    assert put(made, document("VS", "there/part", DELEGATE)).routed == {"root.com"}
    assert put(made, document("VS", "there/other", DELEGATE)).routed == set()
    assert delete(made, ResourceKey("VirtualService", "there", "part")).routed == {"root.com"}
    put(made, document("VS", "there/part", DELEGATE))
    assert put(made, document("VS", "here/root", DELEGATING)).targets == {"far.com"}


def test_services_of_a_host_are_in_order_of_age() -> None:
    made = index(
        service("b/q", "a.com", age=2022) + service("a/p", "a.com", age=2022) + service("c/z", "a.com", age=2021)
    )
    assert [fact.key.name for fact in made.services.get("a.com") or ()] == ["z", "p", "q"]


def test_spellings_of_a_host() -> None:
    made = index(service("here/one", "A.com") + service("there/two", "a.com, b.com"))
    assert made.literals("a.com") == ["A.com", "a.com"]
    assert made.literals("b.com") == ["b.com"]
    assert made.literals("c.com") == []


def test_services_of_a_port_keep_their_order_through_changes() -> None:
    made = index(service("here/one", "b.com", age=2022))
    assert [host for _, host in made.on_port(80)] == ["b.com"]
    put(made, service("here/two", "a.com", age=2022) + service("here/three", "c.com", age=2020))
    assert [host for _, host in made.on_port(80)] == ["c.com", "a.com", "b.com"]
    delete(made, ResourceKey("ServiceEntry", "here", "two"))
    assert [host for _, host in made.on_port(80)] == ["c.com", "b.com"]
    assert list(made.on_port(81)) == []
