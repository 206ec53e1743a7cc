"""Rules of PeerAuthentication, by number."""

from __future__ import annotations

import pytest

from .cases import said


@pytest.mark.parametrize(
    "spec",
    [
        "{}",
        "{mtls: {mode: STRICT}}",
        "{selector: {matchLabels: {app: a}}, portLevelMtls: {80: {mode: DISABLE}}}",
    ],
)
def test_right(spec: str) -> None:
    assert said("PeerAuthentication", spec) == []


@pytest.mark.parametrize(
    ("spec", "code", "path"),
    [
        ("{portLevelMtls: {80: {mode: DISABLE}}}", "PA-1", "portLevelMtls"),
        ("{selector: {matchLabels: {app: a}}, portLevelMtls: {0: {mode: DISABLE}}}", "PA-2", "portLevelMtls.0"),
        ("{selector: {matchLabels: {app: '*'}}}", "DR-7", "selector.matchLabels"),
    ],
)
def test_wrong(spec: str, code: str, path: str) -> None:
    assert said("PeerAuthentication", spec) == [(code, path)]
