"""Endpoints of other networks."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from roadstead.compile.locality import group_endpoints
from roadstead.compile.networks import Gateways, gateways_of, through_gateways
from roadstead.config import MeshNetworks
from roadstead.mesh import Endpoint, Node

GATEWAYS = Gateways({"net1": (("192.0.2.1", 1),), "net2": (("192.0.2.2", 1), ("192.0.2.3", 1))}, 2)


def networks(**gateways: list[tuple[str, int]]) -> MeshNetworks:
    return msgspec.convert(
        {
            "networks": {
                name: {"gateways": [{"address": address, "port": port} for address, port in members]}
                for name, members in gateways.items()
            }
        },
        MeshNetworks,
    )


def test_gateways_by_network() -> None:
    found = gateways_of(networks(a=[("192.0.2.2", 1), ("192.0.2.1", 1)], b=[("192.0.2.9", 1)], c=[]))
    assert found == Gateways({"a": (("192.0.2.1", 1), ("192.0.2.2", 1)), "b": (("192.0.2.9", 1),)}, 2)
    # Weights are to divide evenly among two and among three.
    three = [(f"192.0.2.{n}", 1) for n in range(3)]
    found = gateways_of(networks(a=three[:2], b=three))
    assert found is not None
    assert found.scale == 6


def test_no_gateways() -> None:
    assert gateways_of(None) is None
    assert gateways_of(networks(a=[])) is None
    assert gateways_of(networks(a=[("", 15443)])) is None


def reached(
    endpoint: Endpoint, client: str, mtls: bool | None = None, ips: tuple[str, ...] = ()
) -> list[tuple[str, int]]:
    node = Node(network=client, ips=ips)
    (group,) = through_gateways(group_endpoints((endpoint,)), GATEWAYS, node, mtls)
    return [(member.address, member.weight) for member in group.endpoints]


def test_who_is_near() -> None:
    near = Endpoint("10.0.0.1", 80, network="net1")
    assert reached(near, "net1") == [("10.0.0.1", 2)]
    # A network without gateways cannot be anywhere else; an endpoint without one is near to all.
    assert reached(Endpoint("10.0.0.1", 80, network="net9"), "net1") == [("10.0.0.1", 2)]
    assert reached(Endpoint("10.0.0.1", 80), "net1") == [("10.0.0.1", 2)]
    # A socket is nowhere.
    assert reached(Endpoint("/run/app", 0, kind="unix"), "net1") == []
    # A client without a network is outside of all of them.
    assert reached(near, "") == []


def test_who_can_be_carried() -> None:
    plain = Endpoint("10.0.0.1", 80, network="net2", weight=3)
    speaks = msgspec.structs.replace(plain, tls_mode="istio")
    through = [("192.0.2.2", 3), ("192.0.2.3", 3)]
    assert reached(plain, "net1") == []
    assert reached(speaks, "net1") == through
    # A rule can forbid TLS, but not give it to who has none.
    assert reached(speaks, "net1", mtls=True) == through
    assert reached(plain, "net1", mtls=True) == reached(speaks, "net1", mtls=False) == []


def test_gateways_have_to_be_of_the_clients_family() -> None:
    speaks = Endpoint("10.0.0.1", 80, network="net2", tls_mode="istio")
    assert reached(speaks, "net1", ips=("fd00::1",)) == []
    assert reached(speaks, "net1", ips=("fd00::1", "10.0.0.9")) == reached(speaks, "net1", ips=("10.0.0.9",)) != []


ENDPOINTS = st.lists(
    st.builds(
        Endpoint,
        address=st.sampled_from(["10.0.0.1", "10.0.0.2", ""]),
        port=st.just(80),
        weight=st.integers(1, 1000),
        network=st.sampled_from(["", "net1", "net2", "net9"]),
        tls_mode=st.just("istio"),
        locality=st.sampled_from(["", "r1", "r2"]),
    ),
    max_size=8,
).map(tuple)


@settings(max_examples=150)
@given(ENDPOINTS, st.sampled_from(["", "net1", "net2"]))
def test_weight_is_neither_lost_nor_made(endpoints: tuple[Endpoint, ...], client: str) -> None:
    groups = group_endpoints(endpoints)
    after = through_gateways(groups, GATEWAYS, Node(network=client), mtls=True)
    for before, made in zip(groups, after, strict=True):
        reachable = [
            endpoint
            for endpoint in before.endpoints
            if endpoint.address or (endpoint.network in GATEWAYS.by_network and endpoint.network != client)
        ]
        assert made.weight == sum(endpoint.weight for endpoint in reachable) * GATEWAYS.scale
        assert (made.locality, made.priority) == (before.locality, before.priority)
