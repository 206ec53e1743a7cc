"""Redirects, direct responses, faults, mirrors, CORS."""

from __future__ import annotations

from typing import TypeVar

import msgspec
import pytest
import yaml

from roadstead.compile import actions
from roadstead.config import (
    CorsPolicy,
    FaultAbort,
    FaultDelay,
    HTTPDirectResponse,
    HTTPMirrorPolicy,
    HTTPRedirect,
    HTTPRoute,
)
from roadstead.mesh import Abort, Cors, Delay, DirectResponse, Redirect, StringMatch

T = TypeVar("T")


def made(text: str, kind: type[T]) -> T:
    return msgspec.convert(yaml.safe_load(text), kind)


@pytest.mark.parametrize(
    ("text", "redirect"),
    [
        ("{uri: /new}", Redirect(path="/new")),
        ("{authority: b.test}", Redirect(host="b.test")),
        ("{prefixRewrite: /post, uri: /x}", Redirect(prefix_rewrite="/post")),
        ("{scheme: https, redirectCode: 307, port: 8443}", Redirect("https", port=8443, code=307)),
        ("{uri: /x, port: 80}", Redirect(path="/x")),
        ("{scheme: https, port: 443}", Redirect("https")),
        ("{scheme: https, port: 80}", Redirect("https", port=80)),
        ("{uri: /x, derivePort: FROM_REQUEST_PORT}", Redirect(path="/x", port=8080)),
        ("{uri: /x, derivePort: FROM_PROTOCOL_DEFAULT}", Redirect(path="/x")),
        *[(f"{{redirectCode: {code}}}", Redirect(code=code)) for code in (301, 302, 303, 307, 308)],
        ("{redirectCode: 304}", None),
    ],
)
def test_redirects(text: str, redirect: Redirect | None) -> None:
    assert actions.redirect(made(text, HTTPRedirect), 8080) == redirect


def test_a_tls_listener_redirects_to_https_by_default() -> None:
    derived = made("{derivePort: FROM_REQUEST_PORT}", HTTPRedirect)
    assert actions.redirect(derived, 443, tls=True) == Redirect()
    assert actions.redirect(derived, 443) == Redirect(port=443)


@pytest.mark.parametrize(
    ("text", "response"),
    [
        ("{status: 503, body: {string: down}}", DirectResponse(503, b"down")),
        ("{status: 200, body: {bytes: aGVsbG8=}}", DirectResponse(200, b"hello", is_text=False)),
        ("{status: 204}", DirectResponse(204)),
        ("{status: 600}", DirectResponse(600)),
        ("{status: 199}", DirectResponse(199)),
    ],
)
def test_direct_responses(text: str, response: DirectResponse) -> None:
    assert actions.direct_response(made(text, HTTPDirectResponse)) == response


@pytest.mark.parametrize(
    ("text", "delay"),
    [
        ("{fixedDelay: 3s}", Delay(3.0, 0, "HUNDRED")),
        ("{fixedDelay: 3s, percentage: {value: 0.25}}", Delay(3.0, 2500)),
        ("{fixedDelay: 3s, percent: 7}", Delay(3.0, 70_000, "HUNDRED")),
        ("{fixedDelay: 3s, percent: 7, percentage: {value: 1}}", Delay(3.0, 10_000)),
        ("{percentage: {value: 20}}", None),
    ],
)
def test_a_delay_without_a_share_never_happens(text: str, delay: Delay | None) -> None:
    assert actions.delay(made(text, FaultDelay)) == delay
    assert actions.delay(None) is None


@pytest.mark.parametrize(
    ("text", "abort"),
    [
        ("{httpStatus: 555}", Abort(0, 555, share="")),
        ("{httpStatus: 418, percentage: {value: 50}}", Abort(500_000, 418)),
        ("{grpcStatus: UNAVAILABLE, percentage: {value: 100}}", Abort(1_000_000, 0, "UNAVAILABLE")),
        ("{percentage: {value: 20}}", None),
    ],
)
def test_aborts(text: str, abort: Abort | None) -> None:
    assert actions.abort(made(text, FaultAbort)) == abort
    assert actions.abort(None) is None


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("{}", 1_000_000),
        ("{mirrorPercent: 40}", 400_000),
        ("{mirrorPercent: 40, mirrorPercentage: {value: 12.5}}", 125_000),
        ("{mirrorPercentage: {value: 0}}", 0),
    ],
)
def test_the_share_of_a_mirror(text: str, share: int) -> None:
    assert actions.mirror_share(made(text, HTTPRoute)) == share


@pytest.mark.parametrize(("text", "share"), [("{}", 1_000_000), ("{percentage: {value: 50}}", 500_000)])
def test_the_share_of_one_of_several_mirrors(text: str, share: int) -> None:
    assert actions.policy_share(made(text, HTTPMirrorPolicy)) == share


@pytest.mark.parametrize(
    ("text", "cors"),
    [
        (
            """
            {allowOrigins: [{exact: a}, {prefix: b}, {regex: "c.*"}], allowMethods: [GET, POST], allowHeaders: [x, y],
             exposeHeaders: [z], maxAge: 24h, allowCredentials: true, unmatchedPreflights: IGNORE}
            """,
            Cors(
                (StringMatch("exact", "a"), StringMatch("prefix", "b"), StringMatch("regex", "c.*")),
                "GET,POST",
                "x,y",
                "z",
                86400,
                True,
                False,
            ),
        ),
        ("{allowOrigin: ['*'], unmatchedPreflights: FORWARD}", Cors((StringMatch("exact", "*"),))),
        ("{allowOrigin: [old], allowOrigins: [{exact: new}]}", Cors((StringMatch("exact", "new"),))),
        ("{}", Cors()),
    ],
)
def test_cors(text: str, cors: Cors) -> None:
    assert actions.cors(made(text, CorsPolicy)) == cors
    assert actions.cors(None) is None
