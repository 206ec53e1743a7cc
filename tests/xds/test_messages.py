"""The table of messages: what a description must be for JSON and bytes to follow from it."""

from __future__ import annotations

from collections import Counter
from types import ModuleType

import pytest

from roadstead.xds.messages import MESSAGES, cluster, core, listener, route
from roadstead.xds.schema import EnumType, Field, MessageType, Scalar

FIELDS = [(message, field) for message in MESSAGES.values() for field in message.fields]
# Numbers that the protocol reserves for itself.
RESERVED = range(19_000, 20_000)


@pytest.mark.parametrize("message", MESSAGES.values(), ids=lambda message: message.name)
def test_fields_of_a_message_are_told_apart(message: MessageType) -> None:
    for key in ("name", "number"):
        counted = Counter(getattr(field, key) for field in message.fields)
        assert [value for value, times in counted.items() if times > 1] == []
    assert all(0 < field.number < 1 << 29 and field.number not in RESERVED for field in message.fields)


@pytest.mark.parametrize(("message", "field"), FIELDS, ids=lambda one: one.name)
def test_a_fields_type_is_described(message: MessageType, field: Field) -> None:
    kind = MESSAGES[field.type] if isinstance(field.type, str) else field.type
    if isinstance(kind, MessageType):
        assert MESSAGES[kind.name] is kind
    elif isinstance(kind, EnumType):
        assert 0 in kind.values.values()
        assert len(set(kind.values.values())) == len(kind.values)
    else:
        assert isinstance(kind, Scalar)
    assert not (field.many and field.keyed)
    # In proto3 no member of a oneof is repeated.
    assert not (field.oneof and (field.many or field.keyed))


@pytest.mark.parametrize("module", [core, route, cluster, listener], ids=lambda module: module.__name__)
def test_every_description_is_in_the_table(module: ModuleType) -> None:
    described = {value.name for value in vars(module).values() if isinstance(value, MessageType)}
    assert described <= MESSAGES.keys()


def test_a_name_is_described_once() -> None:
    tables = (*core.TABLE, *route.TABLE, *cluster.TABLE, *listener.TABLE)
    assert len(tables) == len(MESSAGES)


@pytest.mark.parametrize(
    ("message", "field", "number"),
    [
        ("envoy.config.cluster.v3.Cluster", "name", 1),
        ("envoy.config.cluster.v3.Cluster", "lb_policy", 6),
        ("envoy.config.cluster.v3.Cluster", "load_assignment", 33),
        ("envoy.config.cluster.v3.Cluster", "typed_extension_protocol_options", 36),
        ("envoy.config.endpoint.v3.LocalityLbEndpoints", "priority", 5),
        ("envoy.config.listener.v3.Listener", "default_filter_chain", 25),
        ("envoy.config.listener.v3.FilterChainMatch", "server_names", 11),
        ("envoy.config.route.v3.Route", "typed_per_filter_config", 13),
        ("envoy.config.route.v3.RouteAction", "max_grpc_timeout", 23),
        ("envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", "weighted_clusters", 10),
        ("envoy.extensions.transport_sockets.tls.v3.CommonTlsContext", "combined_validation_context", 8),
    ],
)
def test_numbers_are_envoys(message: str, field: str, number: int) -> None:
    assert {one.name: one.number for one in MESSAGES[message].fields}[field] == number


@pytest.mark.parametrize(
    ("enum", "word", "number"),
    [
        (cluster.LB_POLICY, "MAGLEV", 5),
        (cluster.DISCOVERY_TYPE, "ORIGINAL_DST", 4),
        (core.HEALTH_STATUS, "DRAINING", 3),
        (route.REDIRECT_CODE, "PERMANENT_REDIRECT", 4),
        (listener.TLS_VERSION, "TLSv1_3", 4),
    ],
)
def test_words_are_envoys(enum: EnumType, word: str, number: int) -> None:
    assert enum.values[word] == number
