"""A small universe of overlapping resources: few hosts, wildcards and namespaces, so that changes meet each other often."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from hypothesis import strategies as st

from roadstead.config.read import read_tree

Document = dict[str, object]
Key = tuple[str, str, str]

NAMESPACES = ("here", "there", "istio-system")
HOSTS = ("a.x.com", "b.x.com", "x.com", "A.x.com", "*.x.com", "*.a.x.com", "*")
NAMES = ("one", "two", "three")
KINDS = (
    "ServiceEntry",
    "VirtualService",
    "DestinationRule",
    "WorkloadEntry",
    "WorkloadGroup",
    "Sidecar",
    "Gateway",
    "PeerAuthentication",
)
GATEWAYS = ("one", "two")
EXPORTS = ((), ("*",), (".",), ("here",), ("there", "istio-system"), ("~",))
BOUND = ((), (), ["one"], ["mesh", "here/one", "there/two"], ["here/one", "istio-system/two"])
"""Gateways of a VirtualService."""
AGES = (None, "2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z")

exports = st.sampled_from(EXPORTS)
namespaces = st.sampled_from(NAMESPACES)
hosts = st.sampled_from(HOSTS)
labels = st.dictionaries(st.sampled_from(("app", "v")), st.sampled_from(("1", "2")), max_size=2)
some_labels = st.sampled_from(({"app": "1"}, {"v": "1"}, {"v": "2"}, {"app": "1", "v": "2"}))


def document(kind: str, namespace: str, name: str, age: str | None, spec: Document) -> Document:
    """A document as it would be written; parts that are empty are left out."""
    metadata: Document = {"name": name, "namespace": namespace}
    if age:
        metadata["creationTimestamp"] = age
    kept = {field: value for field, value in spec.items() if value not in ((), None)}
    group = "security.istio.io" if kind == "PeerAuthentication" else "networking.istio.io"
    return {"apiVersion": f"{group}/v1", "kind": kind, "metadata": metadata, "spec": kept}


def key_of(written: Document) -> Key:
    metadata = written["metadata"]
    assert isinstance(metadata, dict)
    return str(written["kind"]), metadata["namespace"], metadata["name"]


_ports = st.lists(
    st.sampled_from(
        (
            {"number": 80, "name": "http", "protocol": "HTTP"},
            {"number": 80, "name": "moved", "protocol": "HTTP", "targetPort": 8080},
            {"number": 443, "name": "tls", "protocol": "TLS"},
            {"number": 90, "name": "tcp", "protocol": "TCP"},
            {"number": 91, "name": "any"},
        )
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda port: port["number"],
)


ENDPOINTS = [
    {"address": "10.0.0.1", "labels": {"v": "1", "security.istio.io/tlsMode": "istio"}},
    {"address": "10.0.0.2", "labels": {"v": "2"}, "serviceAccount": "two"},
]


@st.composite
def service_entries(draw: st.DrawFn) -> Document:
    endpoints = draw(st.sampled_from((None, ENDPOINTS, "selector")))
    spec: Document = {
        "hosts": draw(st.lists(hosts.filter(lambda host: host != "*"), min_size=1, max_size=2, unique=True)),
        "ports": draw(_ports),
        "resolution": "NONE" if endpoints is None else "STATIC",
        "location": draw(st.sampled_from(("MESH_EXTERNAL", "MESH_INTERNAL"))),
        "addresses": draw(st.sampled_from(((), ["240.0.0.1"], ["240.0.0.2"], ["10.1.0.0/16"]))),
        "exportTo": draw(exports),
    }
    if endpoints == "selector":
        spec["workloadSelector"] = {"labels": draw(some_labels)}
    elif endpoints:
        spec["endpoints"] = endpoints
    return document("ServiceEntry", draw(namespaces), draw(st.sampled_from(NAMES)), draw(st.sampled_from(AGES)), spec)


@st.composite
def workload_entries(draw: st.DrawFn) -> Document:
    spec: Document = {
        "address": draw(st.sampled_from(("10.2.0.1", "10.2.0.2"))),
        "labels": draw(labels),
        "serviceAccount": draw(st.sampled_from((None, "one"))),
    }
    return document("WorkloadEntry", draw(namespaces), draw(st.sampled_from(NAMES)), None, spec)


@st.composite
def workload_groups(draw: st.DrawFn) -> Document:
    spec: Document = {
        "metadata": {"labels": draw(labels)},
        "template": {"labels": draw(labels)},
        "probe": draw(st.sampled_from((None, {"tcpSocket": {"port": 1}}, {"httpGet": {"port": 2}}))),
    }
    return document("WorkloadGroup", draw(namespaces), draw(st.sampled_from(NAMES)), None, spec)


@st.composite
def destination_rules(draw: st.DrawFn) -> Document:
    spec: Document = {
        "host": draw(hosts),
        "trafficPolicy": draw(
            st.sampled_from((None, {"loadBalancer": {"simple": "RANDOM"}}, {"outlierDetection": {"interval": "5s"}}))
        ),
        "subsets": draw(st.sampled_from(((), [{"name": "v1", "labels": {"v": "1"}}], [{"name": "all"}]))),
        "exportTo": draw(exports.filter(lambda names: names != ("~",))),
    }
    return document(
        "DestinationRule", draw(namespaces), draw(st.sampled_from(NAMES)), draw(st.sampled_from(AGES)), spec
    )


@st.composite
def virtual_services(draw: st.DrawFn, bound: Sequence[Sequence[str]] = BOUND) -> Document:
    """Roots, delegates, and roots that delegate (to a delegate that may not be there). bound: what their gateways are
    drawn from."""
    shape = draw(st.sampled_from(("root", "root", "delegate", "delegating")))
    destination = {"host": draw(hosts.filter(lambda host: host != "*"))}
    if draw(st.booleans()):
        destination["subset"] = "v1"
    route: Document = {"route": [{"destination": destination}]}
    if draw(st.booleans()):
        route["match"] = [{"uri": {"prefix": "/a"}}]
    if shape == "delegating":
        route = {"delegate": {"name": draw(st.sampled_from(NAMES)), "namespace": draw(namespaces)}}
    spec: Document = {
        "hosts": ()
        if shape == "delegate"
        else draw(st.lists(hosts.filter(lambda host: host != "*"), min_size=1, max_size=2, unique=True)),
        "http": [route],
        "exportTo": draw(exports.filter(lambda names: names != ("~",))),
    }
    if shape != "delegate":
        spec["gateways"] = draw(st.sampled_from(bound))
    if shape == "root" and draw(st.booleans()):
        spec["tcp"] = [{"route": [{"destination": {"host": destination["host"]}}]}]
    if shape == "root" and draw(st.booleans()):
        target = {"destination": {"host": destination["host"], "port": {"number": 443}}}
        names = spec["hosts"]
        assert isinstance(names, list)
        spec["tls"] = [{"match": [{"sniHosts": names[:1]}], "route": [target]}]
    return document("VirtualService", draw(namespaces), draw(st.sampled_from(NAMES)), draw(st.sampled_from(AGES)), spec)


@st.composite
def sidecars(draw: st.DrawFn) -> Document:
    egress = draw(
        st.sampled_from(
            (
                (),
                [{"hosts": ["./*"]}],
                [{"hosts": ["*/a.x.com", "there/*.x.com"]}],
                [{"hosts": ["*/*", "~/b.x.com"]}],
                [{"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*/*"]}, {"hosts": ["./*"]}],
            )
        )
    )
    spec: Document = {
        "egress": egress,
        "outboundTrafficPolicy": draw(st.sampled_from((None, {"mode": "REGISTRY_ONLY"}, {"mode": "ALLOW_ANY"}))),
    }
    if draw(st.booleans()):
        spec["workloadSelector"] = {"labels": draw(some_labels)}
    return document("Sidecar", draw(namespaces), draw(st.sampled_from(NAMES)), draw(st.sampled_from(AGES)), spec)


@st.composite
def peer_authentications(draw: st.DrawFn) -> Document:
    mode = st.sampled_from(("DISABLE", "PERMISSIVE", "STRICT", "UNSET"))
    spec: Document = {"mtls": {"mode": draw(mode)}}
    if draw(st.booleans()):
        spec["selector"] = {"matchLabels": draw(some_labels)}
        spec["portLevelMtls"] = draw(st.sampled_from((None, {"80": {"mode": draw(mode)}})))
    return document("PeerAuthentication", draw(namespaces), draw(st.sampled_from(NAMES)), None, spec)


GATEWAY_SERVERS: tuple[Document, ...] = (
    {"port": {"number": 80, "name": "http", "protocol": "HTTP"}},
    {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "tls": {"httpsRedirect": True}},
    {"port": {"number": 90, "name": "tcp", "protocol": "TCP"}},
    {"port": {"number": 90, "name": "tcp", "protocol": "TCP"}},
    {"port": {"number": 443, "name": "pass", "protocol": "TLS"}, "tls": {"mode": "PASSTHROUGH"}},
    {"port": {"number": 443, "name": "any", "protocol": "TLS"}, "tls": {"mode": "AUTO_PASSTHROUGH"}},
    {"port": {"number": 443, "name": "https", "protocol": "HTTPS"}, "tls": {"mode": "SIMPLE", "credentialName": "c"}},
)
ROUTER_IP = "10.2.0.2"


@st.composite
def gateways(draw: st.DrawFn) -> Document:
    """Of few names, so that VirtualServices meet them."""
    chosen = draw(st.lists(st.sampled_from(GATEWAY_SERVERS), min_size=1, max_size=3))
    owner = st.sampled_from(("", "", "*/", "./", "there/"))
    servers = [{**server, "hosts": [draw(owner) + draw(hosts)]} for server in chosen]
    spec: Document = {"servers": servers, "selector": {"app": draw(st.sampled_from(("1", "1", "2")))}}
    age = draw(st.sampled_from(AGES))
    namespace = draw(st.sampled_from(("here", "here", "there", "istio-system")))
    return document("Gateway", namespace, draw(st.sampled_from(GATEWAYS)), age, spec)


def is_accepted(written: Document) -> bool:
    """Whether the rules of Istio's admission let the document in; what they refuse is tested elsewhere."""
    return bool(read_tree(msgspec.json.decode(as_json(written))).resources)


def as_json(written: Document) -> bytes:
    return msgspec.json.encode(written)


OTHER = {
    "apiVersion": "networking.istio.io/v1",
    "kind": "Sidecar",
    "metadata": {"name": "other", "namespace": "else"},
    "spec": {"outboundTrafficPolicy": {}},
}

documents = st.one_of(
    service_entries(),
    service_entries(),
    virtual_services(),
    virtual_services(),
    destination_rules(),
    workload_entries(),
    workload_groups(),
    sidecars(),
    peer_authentications(),
    gateways(),
).filter(is_accepted)

around_gateways = st.one_of(
    gateways(),
    gateways(),
    virtual_services(BOUND[-2:]),
    virtual_services(BOUND[-2:]),
    service_entries(),
    workload_entries(),
    destination_rules(),
).filter(is_accepted)
"""What meets at a router."""
