"""The JSON of messages, type by type: what is written, how, and what is left out."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.xds.json import to_json
from roadstead.xds.messages import MESSAGES, cluster, core, listener, route
from roadstead.xds.schema import Message, MessageType, Value


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0s"), (10.0, "10s"), (3600, "3600s"), (1.5, "1.500s"), (0.25, "0.250s"), (0.0015, "0.001500s"),
        (0.1, "0.100s"), (1e-9, "0.000000001s"), (2.000000001, "2.000000001s"), (0.9999999999, "1s"),
    ],
)  # fmt: skip
def test_durations_have_as_few_digits_as_hold_them(seconds: float, text: str) -> None:
    assert to_json(cluster.CLUSTER(connect_timeout=seconds)) == {"connect_timeout": text}


@pytest.mark.parametrize(
    ("message", "written"),
    [
        # Defaults are left out ...
        (core.LOCALITY(region="", zone="z", sub_zone=None), {"zone": "z"}),
        (core.FRACTIONAL_PERCENT(numerator=0, denominator="HUNDRED"), {}),
        (core.FRACTIONAL_PERCENT(numerator=7, denominator="MILLION"), {"numerator": 7, "denominator": "MILLION"}),
        (cluster.CLUSTER(respect_dns_ttl=False, lb_policy="ROUND_ROBIN", health_checks=[]), {}),
        (cluster.CLUSTER(typed_extension_protocol_options={}), {}),
        (core.PERCENT(value=0.0), {}),
        # ... but not where presence means something: wrappers, messages, members of a oneof.
        (route.ROUTE_MATCH(prefix="", case_sensitive=False), {"prefix": "", "case_sensitive": False}),
        (cluster.CLUSTER(type="STATIC"), {"type": "STATIC"}),
        (core.STRING_MATCHER(exact=""), {"exact": ""}),
        (route.FAULT_ABORT(grpc_status=0), {"grpc_status": 0}),
        (core.SOCKET_ADDRESS(address="a", port_value=0), {"address": "a", "port_value": 0}),
        (cluster.OUTLIER_DETECTION(enforcing_success_rate=0), {"enforcing_success_rate": 0}),
        (cluster.COMMON_LB(healthy_panic_threshold=core.PERCENT(value=0)), {"healthy_panic_threshold": {}}),
        (listener.LISTENER(bind_to_port=False), {"bind_to_port": False}),
        (route.VIRTUAL_HOST(require_tls="NONE"), {}),
        # Numbers: whole ones without a point, 64-bit ones as text.
        (core.PERCENT(value=20.0), {"value": 20}),
        (core.PERCENT(value=33.5), {"value": 33.5}),
        (cluster.RING_HASH(minimum_ring_size=1024), {"minimum_ring_size": "1024"}),
        (route.RETRY_POLICY(host_selection_retry_max_attempts=5), {"host_selection_retry_max_attempts": "5"}),
        (route.RETRY_POLICY(retriable_status_codes=(503,)), {"retriable_status_codes": [503]}),
        # Bytes, Struct, Any, maps.
        (core.DATA_SOURCE(inline_bytes=b"hello"), {"inline_bytes": "aGVsbG8="}),
        (cluster.TRANSPORT_SOCKET_MATCH(name="n", match={}), {"name": "n", "match": {}}),
        (core.METADATA(filter_metadata={"f": {"a": "b"}}), {"filter_metadata": {"f": {"a": "b"}}}),
        (
            core.TRANSPORT_SOCKET(name="raw", typed_config=listener.RAW_BUFFER()),
            {
                "name": "raw",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"
                },
            },
        ),
        (
            cluster.CLUSTER(typed_extension_protocol_options={"o": core.LOCALITY(region="r")}),
            {
                "typed_extension_protocol_options": {
                    "o": {"@type": "type.googleapis.com/envoy.config.core.v3.Locality", "region": "r"}
                }
            },
        ),
        # A message inside itself.
        (
            cluster.MATCH_PREDICATE(
                or_match=cluster.MATCH_SET(rules=[cluster.MATCH_PREDICATE(or_match=cluster.MATCH_SET())])
            ),
            {"or_match": {"rules": [{"or_match": {}}]}},
        ),
    ],
)  # fmt: skip
def test_what_is_written(message: Message, written: dict[str, object]) -> None:
    assert to_json(message) == written


@pytest.mark.parametrize("message", MESSAGES.values(), ids=lambda message: message.name)
def test_a_field_that_is_not_described_is_refused(message: MessageType) -> None:
    with pytest.raises(KeyError):
        to_json(message(no_such_field=1))


def test_a_shared_message_is_written_once() -> None:
    shared = core.LOCALITY.shared(region="r")
    one, two = (to_json(cluster.LOCALITY_LB_ENDPOINTS(locality=shared, priority=n)) for n in (1, 2))
    assert one["locality"] is two["locality"]
    assert to_json(shared) is to_json(shared)
    own = core.LOCALITY(region="r")
    assert to_json(own) is not to_json(own)


values = st.dictionaries(
    st.sampled_from(["exact", "prefix"]), st.text(max_size=20), min_size=1, max_size=1
)  # fmt: skip


@given(values, st.floats(0, 1e6), st.binary(max_size=20))
def test_it_is_json(text: dict[str, Value], seconds: float, body: bytes) -> None:
    made = [
        to_json(core.STRING_MATCHER(**text)),
        to_json(route.RETRY_BACK_OFF(base_interval=seconds)),
        to_json(core.DATA_SOURCE(inline_bytes=body)),
    ]
    assert json.loads(json.dumps(made)) == made
    assert made[0] == text
    written = made[1]["base_interval"]
    assert isinstance(written, str)
    assert float(written.removesuffix("s")) == pytest.approx(seconds, abs=1e-9)
    encoded = made[2]["inline_bytes"]
    assert isinstance(encoded, str)
    assert base64.b64decode(encoded) == body
