"""Envoy resources in a form in which equal means: the same requests go to the same places under the same policy.

What is left out: statistics' names, tracing, peer metadata, Istio's own filters, and how a resource is fetched. What
has no order is sorted; routes keep theirs, for the first match wins. What is compared of TLS is what the peer notices.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

Json = dict[str, "Json"] | list["Json"] | str | int | float | bool | None
Resource = dict[str, Json]
Normal = dict[str, Json]
"""Resources of one type by name."""

_IGNORED = frozenset(
    {
        "alt_stat_name",
        "decorator",
        "eds_config",
        "include_request_attempt_count",
        "initial_fetch_timeout",
        "max_direct_response_body_size_bytes",
        "metadata",
        "service_name",
        "stat_prefix",
        "track_remaining",
        "typed_dns_resolver_config",
        "upstream_bind_config",
        "validate_clusters",
    }
)
_KEPT_WHEN_EMPTY = frozenset({"locality", "match", "healthy_panic_threshold"})
_FOREIGN = frozenset({"InboundPassthroughCluster", "agent", "prometheus_stats", "sds-grpc", "xds-grpc", "zipkin"})
_UPSTREAM_HTTP = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_PROTOCOL_CHOICES = ("use_downstream_protocol_config", "explicit_http_config", "auto_config")
_OF_TCP_PROXY = ("cluster", "weighted_clusters", "idle_timeout", "hash_policy", "tunneling_config")
_SECONDS = re.compile(r"[0-9]+(?:\.[0-9]*)?s|\.[0-9]+s")
_HEALTHY = (None, "UNKNOWN", "HEALTHY")


def of_type(kind: str, resources: Iterable[Resource]) -> Normal:
    """kind: clusters, endpoints, listeners or routes. Resources that are Istio's own business are left out."""
    key, normal = _TYPES[kind]
    return {str(one[key]): normal(one) for one in resources if one[key] not in _FOREIGN}


def differences(expected: Json, found: Json, at: str = "") -> Iterator[str]:
    """Where two normal forms differ, one line each."""
    if isinstance(expected, dict) and isinstance(found, dict):
        for key in sorted({*expected, *found}):
            if key not in found:
                yield f"{at}/{key}: missing {_brief(expected[key])}"
            elif key not in expected:
                yield f"{at}/{key}: unexpected {_brief(found[key])}"
            else:
                yield from differences(expected[key], found[key], f"{at}/{key}")
    elif isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        for index, pair in enumerate(zip(expected, found, strict=True)):
            yield from differences(*pair, f"{at}[{index}]")
    elif expected != found:
        yield f"{at}: expected {_brief(expected)}, found {_brief(found)}"


def plain(value: Json) -> Json:
    """Without what is ignored and what says nothing; numbers and durations in one spelling."""
    if isinstance(value, dict):
        made: Resource = {}
        for key, inner in value.items():
            if key in _IGNORED or (key == "name" and str(inner).startswith("PassthroughFilterChain")):
                continue
            kept = plain(inner)
            if key in _KEPT_WHEN_EMPTY or kept not in (None, {}, []):
                made[key] = kept
        return made
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _text(value: str) -> Json:
    if value.isdecimal() and value.isascii() and len(value) < 19:
        return int(value)
    if _SECONDS.fullmatch(value):
        return f"{float(value[:-1]):.9f}".rstrip("0").rstrip(".") + "s"
    return value


def _cluster(resource: Resource) -> Json:
    apart = (
        "eds_cluster_config",
        "filters",
        "load_assignment",
        "transport_socket",
        "transport_socket_matches",
        "typed_extension_protocol_options",
    )
    made: Resource = {key: value for key, value in resource.items() if key not in apart}
    if "load_assignment" in resource:
        made["load_assignment"] = _assignment(_object(resource["load_assignment"]))
    if "transport_socket" in resource:
        made["tls"] = _tls(_object(resource["transport_socket"]))
    if "transport_socket_matches" in resource:
        made["tls_matches"] = [
            {"name": one.get("name"), "tls": _tls(_object(one.get("transport_socket")))}
            for one in _objects(resource["transport_socket_matches"])
        ]
    options = _object(_object(resource.get("typed_extension_protocol_options")).get(_UPSTREAM_HTTP))
    if options:
        # Which protocol is chosen decides, not the defaults under it.
        made["http"] = {
            key: (list[Json](sorted(_object(value))) or True) if key in _PROTOCOL_CHOICES else value
            for key, value in options.items()
            if key != "@type"
        }
    return plain(made)


def _tls(socket: Resource) -> Json:
    config = _object(socket.get("typed_config"))
    context = _object(config.get("common_tls_context"))
    combined = _object(context.get("combined_validation_context"))
    checks = _object(combined.get("default_validation_context")) or _object(context.get("validation_context"))
    source = _object(combined.get("validation_context_sds_secret_config")) or _object(
        context.get("validation_context_sds_secret_config")
    )
    names = [_object(one.get("matcher")) or one for one in _objects(checks.get("match_typed_subject_alt_names"))]
    names += _objects(checks.get("match_subject_alt_names"))
    secrets = _objects(context.get("tls_certificate_sds_secret_configs"))
    return plain(
        {
            "alpn": [word for word in _list(context.get("alpn_protocols")) if not str(word).startswith("istio")],
            "auto_sni": config.get("auto_host_sni"),
            "ca": source.get("name"),
            "certificates": _ordered([one.get("name", "") for one in secrets]),
            "require_client_certificate": config.get("require_client_certificate"),
            "sni": config.get("sni"),
            "socket": socket.get("name"),
            "subject_alt_names": _ordered(names),
            "parameters": context.get("tls_params"),
            "pinned": [checks.get("verify_certificate_spki"), checks.get("verify_certificate_hash")],
            "revoked": checks.get("crl"),
            "untrusted": checks.get("trust_chain_verification"),
        }
    )


def _assignment(resource: Resource) -> Json:
    groups: list[Json] = [
        {
            "endpoints": _ordered([_endpoint(one) for one in _objects(group.get("lb_endpoints"))]),
            "locality": plain(group.get("locality", {})),
            "priority": group.get("priority", 0),
            "weight": group.get("load_balancing_weight"),
        }
        for group in _objects(resource.get("endpoints"))
    ]
    made: Resource = {"localities": _ordered(groups)}
    if resource.get("policy"):
        made["policy"] = plain(resource["policy"])
    return made


def _endpoint(resource: Resource) -> Json:
    address = _object(_object(resource.get("endpoint")).get("address"))
    socket = _object(address.get("socket_address"))
    made: Resource = {
        "address": [socket.get("address", ""), socket.get("port_value", 0)] if socket else plain(address),
        "weight": resource.get("load_balancing_weight", 1),
    }
    if resource.get("health_status") not in _HEALTHY:
        made["health"] = resource["health_status"]
    return made


def _routes(resource: Resource) -> Json:
    hosts = [
        plain({**host, "domains": _ordered(_list(host.get("domains")))})
        for host in _objects(resource.get("virtual_hosts"))
    ]
    made = _object(plain({key: value for key, value in resource.items() if key != "virtual_hosts"}))
    made["virtual_hosts"] = sorted(hosts, key=lambda host: str(_object(host).get("name", "")))
    return made


def _listener(resource: Resource) -> Json:
    made: Resource = {
        "address": plain(resource.get("address", {})),
        "bind_to_port": resource.get("bind_to_port", True),
        "chains": _ordered([_chain(chain) for chain in _objects(resource.get("filter_chains"))]),
        "listener_filters": _ordered(
            list({str(one["name"]).rpartition(".")[2]: None for one in _objects(resource.get("listener_filters"))})
        ),
        "name": resource.get("name"),
        "use_original_dst": resource.get("use_original_dst", False),
    }
    if "default_filter_chain" in resource:
        made["default_chain"] = _chain(_object(resource["default_filter_chain"]))
    return made


def _chain(chain: Resource) -> Resource:
    made: Resource = {"match": plain(chain.get("filter_chain_match", {}))}
    others: list[Json] = []
    for one in _objects(chain.get("filters")):
        config = _object(one.get("typed_config"))
        kind = str(config.get("@type", "")).rpartition(".")[2]
        if kind == "HttpConnectionManager":
            table = _object(config.get("route_config"))
            made["http"] = _routes(table) if table else _object(config.get("rds")).get("route_config_name")
        elif kind == "TcpProxy":
            made["tcp"] = plain({key: value for key, value in config.items() if key in _OF_TCP_PROXY})
        elif kind not in ("", "RBAC") and not str(one.get("name", "")).startswith("istio."):
            others.append(kind)
    if others:
        made["filters"] = others
    if "transport_socket" in chain:
        made["tls"] = _tls(_object(chain["transport_socket"]))
    return made


def _object(value: Json) -> Resource:
    return value if isinstance(value, dict) else {}


def _list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []


def _objects(value: Json) -> list[Resource]:
    return [one for one in _list(value) if isinstance(one, dict)]


def _ordered(items: Sequence[Json]) -> list[Json]:
    return sorted(items, key=_sort_key)


def _sort_key(value: Json) -> bytes:
    return msgspec.json.encode(value, order="deterministic")


def _brief(value: Json) -> str:
    text = _sort_key(value).decode()
    return text if len(text) <= 160 else text[:157] + "..."


_TYPES: dict[str, tuple[str, Callable[[Resource], Json]]] = {
    "clusters": ("name", _cluster),
    "endpoints": ("cluster_name", _assignment),
    "listeners": ("name", _listener),
    "routes": ("name", _routes),
}
