"""Values of headers, taken apart as Envoy reads them."""

from __future__ import annotations

import pytest

from roadstead import Registry
from roadstead import _lowered as low
from roadstead.registry.formats import taken_apart

TEXT, REQ, RESP = low.TEXT, low.REQUEST_HEADER, low.RESPONSE_HEADER


@pytest.mark.parametrize(
    ("value", "text", "pieces"),
    [
        ("plain", "plain", ()),
        ("50%%", "50%", ()),
        ("%%%%REQ", "%%REQ", ()),
        ("%PROTOCOL%", "HTTP/1.1", ()),
        ("%START_TIME%", "", ()),
        ("%START_TIME(%Y)%x", "x", ()),
        ("%REQ(X-A)%", "", ((REQ, "x-a", "", 0),)),
        ("%REQ(x-a?:path):7%", "", ((REQ, "x-a", ":path", 7),)),
        ("a%%%RESP(x)%%%b", "", ((TEXT, "a%", "", 0), (RESP, "x", "", 0), (TEXT, "%b", "", 0))),
        ("%UPSTREAM_CLUSTER%", "", ((low.CLUSTER, ";", "", 0),)),
        ("%RESPONSE_CODE%%PROTOCOL%", "", ((low.STATUS, "", "", 0), (TEXT, "HTTP/1.1", "", 0))),
    ],
)
def test_values(value: str, text: str, pieces: tuple[tuple[int, str, str, int], ...]) -> None:
    assert taken_apart(value) == (text, pieces)


MESH = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: a}
spec: {hosts: [a.test], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a}
spec:
  hosts: [a.test]
  http:
  - route: [{destination: {host: a.test}}]
    headers:
      request: {set: {x-who: "%REQ(x-user?x-anyone)%@%REQ(:authority)%", x-when: "%START_TIME%"}}
      response: {add: {x-from: "%UPSTREAM_CLUSTER%"}}
"""


def test_a_rule(engine_name: str) -> None:
    made = Registry.from_text(MESH, backend=engine_name)
    decision = made.route("a.test", 80, headers={"X-Anyone": "me"})
    assert decision.apply({}) == [("x-who", "me@a.test")]
    assert decision.apply_response({}) == [("x-from", "outbound|80||a.test;")]
    [finding] = made.diagnostics
    assert (finding.code, finding.severity) == ("EFF-2", "warning")
    assert finding.path == "spec.http[0].headers.request.set.x-when"
