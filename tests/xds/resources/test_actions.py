"""One route of a VirtualService as Envoy gets it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.xds.resources.documents import document, entry

if TYPE_CHECKING:
    from tests.xds.resources.conftest import Send

A = entry("a.test", "80/http/HTTP", "resolution: DNS")
TO_A = "route: [{destination: {host: a.test}}]"


def first(send: Send, rule: str) -> dict[str, Any]:
    """The first route of a rule for a.test."""
    made: Any = send(A + document("VirtualService", "v", f"{{hosts: [a.test], http: [{{{rule}}}]}}")).routes["80"]
    route: dict[str, Any] = made["virtual_hosts"][0]["routes"][0]
    return route


@pytest.mark.parametrize(
    ("match", "written"),
    [
        ("{uri: {exact: /x}}", {"path": "/x", "case_sensitive": True}),
        ("{uri: {prefix: /x}, ignoreUriCase: true}", {"prefix": "/x", "case_sensitive": False}),
        ("{uri: {regex: '/x.*'}}", {"safe_regex": {"regex": "/x.*"}, "case_sensitive": True}),
        (
            "{headers: {b: {exact: ''}, a: {}}}",
            {
                "prefix": "/",
                "case_sensitive": True,
                "headers": [{"name": "a", "present_match": True}, {"name": "b", "string_match": {"exact": ""}}],
            },
        ),
        (
            "{withoutHeaders: {a: {prefix: x}}}",
            {
                "prefix": "/",
                "case_sensitive": True,
                "headers": [
                    {
                        "name": "a",
                        "string_match": {"prefix": "x"},
                        "invert_match": True,
                        "treat_missing_header_as_empty": True,
                    }
                ],
            },
        ),
        (
            "{method: {exact: GET}}",
            {"prefix": "/", "case_sensitive": True, "headers": [{"name": ":method", "string_match": {"exact": "GET"}}]},
        ),
        (
            "{queryParams: {q: {regex: '[a-z]+'}}}",
            {
                "prefix": "/",
                "case_sensitive": True,
                "query_parameters": [{"name": "q", "string_match": {"safe_regex": {"regex": "[a-z]+"}}}],
            },
        ),
    ],
)
def test_conditions(send: Send, match: str, written: dict[str, object]) -> None:
    assert first(send, f"match: [{match}], {TO_A}")["match"] == written


@pytest.mark.parametrize(
    ("rule", "field", "written"),
    [
        (f"timeout: 1500ms, {TO_A}", "timeout", "1.500s"),
        (TO_A, "timeout", "0s"),
        (TO_A, "cluster", "outbound|80||a.test"),
        (f"rewrite: {{uri: /n, authority: h.test}}, {TO_A}", "prefix_rewrite", "/n"),
        (f"rewrite: {{uri: /n, authority: h.test}}, {TO_A}", "host_rewrite_literal", "h.test"),
        (
            f"rewrite: {{uriRegexRewrite: {{match: '^/(.*)$', rewrite: '/\\1'}}}}, {TO_A}",
            "regex_rewrite",
            {"pattern": {"regex": "^/(.*)$"}, "substitution": "/\\1"},
        ),
        (
            "route: [{destination: {host: a.test}, weight: 3}, {destination: {host: b.test}, weight: 1}]",
            "weighted_clusters",
            {
                "clusters": [
                    {"name": "outbound|80||a.test", "weight": 3},
                    {"name": "outbound|80||b.test", "weight": 1},
                ]
            },
        ),
        (
            f"mirror: {{host: m.test}}, {TO_A}",
            "request_mirror_policies",
            [
                {
                    "cluster": "outbound|80||m.test",
                    "runtime_fraction": {"default_value": {"numerator": 100}},
                    "trace_sampled": False,
                    "disable_shadow_host_suffix_append": True,
                }
            ],
        ),
        (f"retries: {{attempts: 0}}, {TO_A}", "retry_policy", None),
    ],
)
def test_forwarding(send: Send, rule: str, field: str, written: object) -> None:
    assert first(send, rule)["route"].get(field) == written


def test_retries(send: Send) -> None:
    rule = (
        "retries: {attempts: 3, retryOn: '503,reset', perTryTimeout: 250ms, backoff: 1s, retryRemoteLocalities: true}"
    )
    made = first(send, f"{rule}, {TO_A}")["route"]["retry_policy"]
    assert made.pop("retry_host_predicate")[0]["name"] == "envoy.retry_host_predicates.previous_hosts"
    assert made.pop("retry_priority")["typed_config"]["update_frequency"] == 2
    assert made == {
        "num_retries": 3,
        "retry_on": "reset,retriable-status-codes",
        "retriable_status_codes": [503],
        "per_try_timeout": "0.250s",
        "retry_back_off": {"base_interval": "1s"},
        "host_selection_retry_max_attempts": "5",
    }


def test_header_operations_are_in_istios_order(send: Send) -> None:
    made = first(
        send,
        "headers: {request: {set: {b: '1', a: '2'}, add: {c: '3'}, remove: [d]}}, "
        "route: [{destination: {host: a.test}, headers: {request: {set: {e: '4'}}, response: {remove: [f]}}}]",
    )
    added = [(one["header"]["key"], one.get("append_action")) for one in made["request_headers_to_add"]]
    over = "OVERWRITE_IF_EXISTS_OR_ADD"
    assert added == [("a", over), ("b", over), ("c", None), ("e", over)]
    assert (made["request_headers_to_remove"], made["response_headers_to_remove"]) == (["d"], ["f"])


@pytest.mark.parametrize(
    ("rule", "field", "written"),
    [
        ("redirect: {uri: /n}", "redirect", {"path_redirect": "/n"}),
        (
            "redirect: {authority: h.test, scheme: https, redirectCode: 307}",
            "redirect",
            {
                "path_redirect": "",
                "host_redirect": "h.test",
                "scheme_redirect": "https",
                "response_code": "TEMPORARY_REDIRECT",
            },
        ),
        (
            "directResponse: {status: 503, body: {string: down}}",
            "direct_response",
            {"status": 503, "body": {"inline_string": "down"}},
        ),
        (
            "directResponse: {status: 200, body: {bytes: aGVsbG8=}}",
            "direct_response",
            {"status": 200, "body": {"inline_bytes": "aGVsbG8="}},
        ),
        # Envoy refuses it, but it is what Istio sends.
        ("redirect: {uri: /n, redirectCode: 304}", "redirect", None),
    ],
)
def test_answers(send: Send, rule: str, field: str, written: object) -> None:
    made = first(send, rule)
    assert made.get(field) == written
    assert "route" not in made


@pytest.mark.parametrize(
    ("fault", "written"),
    [
        (
            "{delay: {fixedDelay: 3s, percent: 7}}",
            {"delay": {"fixed_delay": "3s", "percentage": {"numerator": 7}}},
        ),
        (
            "{delay: {fixedDelay: 3s}}",
            {"delay": {"fixed_delay": "3s", "percentage": {}}},
        ),
        (
            "{abort: {grpcStatus: UNAVAILABLE, percentage: {value: 50}}}",
            {"abort": {"grpc_status": 14, "percentage": {"numerator": 500_000, "denominator": "MILLION"}}},
        ),
        ("{abort: {httpStatus: 555}}", {"abort": {"http_status": 555}}),
    ],
)
def test_shares_are_written_as_they_were(send: Send, fault: str, written: dict[str, object]) -> None:
    made = first(send, f"fault: {fault}, {TO_A}")["typed_per_filter_config"]["envoy.filters.http.fault"]
    assert made.pop("@type").endswith("HTTPFault")
    assert made == written


def test_cors(send: Send) -> None:
    policy = "{allowOrigins: [{exact: 'http://x'}], allowMethods: [GET, PUT], maxAge: 60s, allowCredentials: false}"
    made = first(send, f"corsPolicy: {policy}, {TO_A}")["typed_per_filter_config"]["envoy.filters.http.cors"]
    assert made.pop("@type").endswith("CorsPolicy")
    assert made == {
        "allow_origin_string_match": [{"exact": "http://x"}],
        "allow_methods": "GET,PUT",
        "max_age": "60",
        "allow_credentials": False,
        "filter_enabled": {"default_value": {"numerator": 100}},
        "forward_not_matching_preflights": True,
    }


def test_two_that_claim_one_address_stand_in_the_order_of_their_rules(send: Send) -> None:
    services = "".join(
        entry(f"{name}.test", "80/http/HTTP", "addresses: [240.0.0.1]\n  resolution: DNS") for name in ("a", "b")
    )
    rules = document("VirtualService", "v", f"{{hosts: [b.test, a.test], http: [{{{TO_A}}}]}}")
    made: Any = send(services + rules).routes["80"]["virtual_hosts"]
    assert [host["name"] for host in made if "240.0.0.1" in host["domains"]] == ["b.test:80"]
