"""TLS towards the endpoints of a cluster."""

from __future__ import annotations

from typing import Any

import pytest
from tests.compile.one_client import OneClient

from roadstead.compile.tls import unknown_tls
from roadstead.config import ClientTLSSettings, TLSConfig
from roadstead.mesh import Node, TlsOrigination

SERVICE = """
kind: ServiceEntry
metadata: {{name: se, namespace: prod}}
spec:
  hosts: ["{host}"]
  ports: [{{number: 443, name: web, protocol: {protocol}}}]
  {spec}
---
kind: DestinationRule
metadata: {{name: dr, namespace: prod}}
spec: {{host: "{host}", {rule}}}
"""
IN_MESH = ("istio-peer-exchange", "istio")
EXTERNAL = "location: MESH_EXTERNAL, resolution: DNS"
WORKLOADS = "endpoints: [{address: 10.0.0.1, serviceAccount: two}, {address: 10.0.0.2, serviceAccount: one}]"


def tls(
    settings: str | None,
    *,
    spec: str = EXTERNAL,
    at: str = "443",
    host: str = "a.test",
    protocol: str = "HTTP",
    more: str = "",
    **client: Any,
) -> TlsOrigination | None:
    rule = more if settings is None else f"trafficPolicy: {{tls: {settings}}}, {more}"
    text = SERVICE.format(host=host, protocol=protocol, rule=rule, spec="\n  ".join(_lines(spec)))
    return OneClient(text, **client).clusters(host)[at].tls


def _lines(flow: str) -> list[str]:
    """`a: 1, b: [x, y]` as lines of a block."""
    depth, lines = 0, [""]
    for character in flow:
        depth += (character in "[{") - (character in "]}")
        if character == "," and not depth:
            lines.append("")
        else:
            lines[-1] += character
    return [line.strip() for line in lines]


class TestARule:
    @pytest.mark.parametrize(
        ("settings", "expected"),
        [
            ("{mode: DISABLE}", None),
            ("{}", None),
            # No SNI: the host that is asked for, and the certificate must be that host's.
            ("{mode: SIMPLE}", TlsOrigination("SIMPLE", auto_sni=True, verify="auto")),
            ("{mode: SIMPLE, sni: s.test}", TlsOrigination("SIMPLE", "s.test", verify="ca")),
            (
                "{mode: SIMPLE, subjectAltNames: [x.test]}",
                TlsOrigination("SIMPLE", "", ("x.test",), auto_sni=True, verify="san"),
            ),
            (
                "{mode: SIMPLE, sni: s.test, subjectAltNames: [x.test]}",
                TlsOrigination("SIMPLE", "s.test", ("x.test",), verify="san"),
            ),
            (
                "{mode: SIMPLE, caCertificates: /ca, caCrl: /crl}",
                TlsOrigination("SIMPLE", ca="/ca", ca_crl="/crl", auto_sni=True, verify="auto"),
            ),
            ("{mode: SIMPLE, insecureSkipVerify: true}", TlsOrigination("SIMPLE", auto_sni=True, verify="")),
            # Files of a client certificate belong to MUTUAL.
            (
                "{mode: SIMPLE, clientCertificate: /c, privateKey: /k}",
                TlsOrigination("SIMPLE", auto_sni=True, verify="auto"),
            ),
            (
                "{mode: MUTUAL, clientCertificate: /c, privateKey: /k}",
                TlsOrigination("MUTUAL", certificate="/c", private_key="/k", auto_sni=True, verify="auto"),
            ),
            # Half a certificate is none, and then there is no TLS at all.
            ("{mode: MUTUAL, clientCertificate: /c}", None),
            ("{mode: MUTUAL, privateKey: /k}", None),
            (
                "{mode: ISTIO_MUTUAL}",
                TlsOrigination("ISTIO_MUTUAL", "outbound_.443_._.a.test", verify="ca", alpn=IN_MESH),
            ),
            (
                "{mode: ISTIO_MUTUAL, sni: s.test, subjectAltNames: [x]}",
                TlsOrigination("ISTIO_MUTUAL", "s.test", ("x",), verify="san", alpn=IN_MESH),
            ),
        ],
    )
    def test_modes(self, settings: str, expected: TlsOrigination | None) -> None:
        assert tls(settings) == expected

    def test_http2_is_offered(self) -> None:
        for mode, offered in (("SIMPLE", ("h2",)), ("ISTIO_MUTUAL", (*IN_MESH, "h2"))):
            made = tls(f"{{mode: {mode}}}", protocol="GRPC")
            assert made is not None
            assert made.alpn == offered

    def test_the_subset_is_in_the_name(self) -> None:
        made = tls("{mode: ISTIO_MUTUAL}", at="443/s", more="subsets: [{name: s}]")
        assert made is not None
        assert made.sni == "outbound_.443_.s_.a.test"

    @pytest.mark.parametrize("mode", ["SIMPLE", "ISTIO_MUTUAL"])
    def test_names_of_the_entry(self, mode: str) -> None:
        made = tls(f"{{mode: {mode}}}", spec=f"{EXTERNAL}, subjectAltNames: [b.test, a.test]")
        assert made is not None
        assert made.subject_alt_names == ("a.test", "b.test")
        # Whether the host is checked is decided by the rule's own names.
        assert made.verify == ("auto" if mode == "SIMPLE" else "san")

    def test_names_of_the_entry_yield_to_the_rule(self) -> None:
        made = tls("{mode: SIMPLE, subjectAltNames: [x.test]}", spec=f"{EXTERNAL}, subjectAltNames: [b.test]")
        assert made is not None
        assert (made.subject_alt_names, made.verify) == (("x.test",), "san")

    def test_names_of_the_entry_are_checked_under_a_given_sni(self) -> None:
        made = tls("{mode: SIMPLE, sni: s.test}", spec=f"{EXTERNAL}, subjectAltNames: [b.test]")
        assert made is not None
        assert (made.subject_alt_names, made.verify) == (("b.test",), "san")


class TestSecrets:
    SELECTED = "workloadSelector: {matchLabels: {app: x}}"

    @pytest.mark.parametrize("mode", ["SIMPLE", "MUTUAL"])
    def test_are_for_routers_and_chosen_clients(self, mode: str) -> None:
        settings = f"{{mode: {mode}, credentialName: cred}}"
        assert tls(settings) is None
        for made in (tls(settings, node=Node(type="router")), tls(settings, more=self.SELECTED)):
            assert made is not None
            assert (made.mode, made.credential_name, made.auto_sni) == (mode, "cred", True)

    def test_a_config_map_needs_no_secret(self) -> None:
        made = tls("{mode: SIMPLE, credentialName: 'configmap://ns/bundle'}")
        assert made is not None
        assert made.credential_name == "configmap://ns/bundle"


class TestAutomatic:
    INTERNAL = f"location: MESH_INTERNAL, resolution: STATIC, {WORKLOADS}"

    def test_holds_inside_the_mesh(self) -> None:
        accounts = ("spiffe://cluster.local/ns/prod/sa/one", "spiffe://cluster.local/ns/prod/sa/two")
        expected = TlsOrigination("AUTO", "outbound_.443_._.a.test", accounts, verify="san", alpn=IN_MESH)
        assert tls(None, spec=self.INTERNAL) == expected
        assert tls(None, spec=self.INTERNAL, authentication={"prod": "STRICT"}) == expected

    def test_names_are_the_workloads_and_the_newest_entrys(self) -> None:
        made = tls(None, spec=f"{self.INTERNAL}, subjectAltNames: [x]", mesh="{trustDomainAliases: [old.local]}")
        assert made is not None
        assert made.subject_alt_names == (
            "spiffe://cluster.local/ns/prod/sa/one",
            "spiffe://cluster.local/ns/prod/sa/two",
            "spiffe://old.local/ns/prod/sa/one",
            "spiffe://old.local/ns/prod/sa/two",
            "x",
        )

    def test_the_newest_entry_forgets_the_names_of_older_ones(self) -> None:
        entry = """
---
kind: ServiceEntry
metadata: {{name: {name}}}
spec: {{hosts: [a.test], location: MESH_INTERNAL, resolution: STATIC, ports: [{{number: 80, name: x}}], {names}}}
"""
        text = entry.format(name="older", names="subjectAltNames: [x]") + entry.format(name="newer", names="")
        made = OneClient(text).clusters("a.test")["80"].tls
        assert made is not None
        assert (made.subject_alt_names, made.verify) == ((), "ca")

    @pytest.mark.parametrize(
        "changed",
        [
            {"spec": INTERNAL.replace("MESH_INTERNAL", "MESH_EXTERNAL")},
            {"mesh": "{enableAutoMtls: false}"},
            {"authentication": {"prod": "DISABLE"}},
            # Connections that go where their caller dialled: nobody known behind them.
            {"spec": "location: MESH_INTERNAL, resolution: NONE"},
            {"spec": "location: MESH_INTERNAL, resolution: NONE", "node": Node(type="router")},
            {
                "spec": INTERNAL.replace("serviceAccount: one", "weight: 1"),
                "more": "trafficPolicy: {loadBalancer: {simple: PASSTHROUGH}}",
            },
        ],
    )
    def test_holds_nowhere_else(self, changed: dict[str, Any]) -> None:
        assert tls(None, **{"spec": self.INTERNAL, **changed}) is None

    def test_is_all_or_nothing_where_the_caller_dials(self) -> None:
        made = tls(None, spec=self.INTERNAL, more="trafficPolicy: {loadBalancer: {simple: PASSTHROUGH}}")
        assert made is not None
        assert made.mode == "ISTIO_MUTUAL"

    def test_a_rule_ends_it(self) -> None:
        assert tls("{mode: DISABLE}", spec=self.INTERNAL) is None

    def test_dynamic_peers_are_told_by_the_request(self) -> None:
        made = tls(None, spec="location: MESH_INTERNAL, resolution: DYNAMIC_DNS", host="*.a.test")
        assert made == TlsOrigination("AUTO", auto_sni=True, verify="auto", alpn=IN_MESH)


class TestDefaultsOfTheMesh:
    MESH = "{tlsDefaults: {minProtocolVersion: TLSV1_3, cipherSuites: [AES128-GCM-SHA256], ecdhCurves: [P-256]}}"

    @pytest.mark.parametrize("mode", ["SIMPLE", "MUTUAL, clientCertificate: /c, privateKey: /k"])
    def test_hold_for_what_a_rule_asks_for(self, mode: str) -> None:
        made = tls(f"{{mode: {mode}}}", mesh=self.MESH)
        assert made is not None
        assert (made.cipher_suites, made.curves) == (("AES128-GCM-SHA256",), ("P-256",))

    def test_are_not_for_the_meshs_own(self) -> None:
        for settings in ("{mode: ISTIO_MUTUAL}", None):
            made = tls(settings, spec=TestAutomatic.INTERNAL, mesh=self.MESH)
            assert made is not None
            assert (made.cipher_suites, made.curves) == ((), ())


class TestHostsThatAreLookedUp:
    """What the peer must be is known when the request is."""

    DYNAMIC = "location: MESH_EXTERNAL, resolution: DYNAMIC_DNS"

    @pytest.mark.parametrize(
        ("settings", "auto_sni", "verify"),
        [
            ("{mode: SIMPLE}", True, "auto"),
            ("{mode: SIMPLE, sni: s.test}", False, "auto"),
            ("{mode: SIMPLE, subjectAltNames: [x.test]}", True, "auto"),
            ("{mode: SIMPLE, insecureSkipVerify: true}", True, ""),
            ("{mode: ISTIO_MUTUAL}", True, "auto"),
            ("{mode: ISTIO_MUTUAL, sni: s.test, subjectAltNames: [x]}", False, "auto"),
            ("{mode: ISTIO_MUTUAL, insecureSkipVerify: true}", True, "ca"),
            ("{mode: ISTIO_MUTUAL, insecureSkipVerify: true, subjectAltNames: [x]}", True, "san"),
        ],
    )
    def test_their_names_are_checked(self, settings: str, auto_sni: bool, verify: str) -> None:
        made = tls(settings, spec=self.DYNAMIC, host="*.a.test")
        assert made is not None
        assert (made.auto_sni, made.verify) == (auto_sni, verify)
        assert made.sni == ("" if auto_sni else "s.test")
        names = ("x.test",) if "x.test" in settings else ("x",) if "[x]" in settings else ()
        assert made.subject_alt_names == names

    @pytest.mark.parametrize(
        ("settings", "expected"),
        [
            (None, None),
            (ClientTLSSettings(), None),
            (ClientTLSSettings(mode="SIMPLE"), TlsOrigination("SIMPLE", auto_sni=True, verify="auto")),
            (
                ClientTLSSettings(mode="SIMPLE", ca_certificates="/ca", insecure_skip_verify=True),
                TlsOrigination("SIMPLE", auto_sni=True),
            ),
            (
                ClientTLSSettings(mode="MUTUAL", client_certificate="/c", private_key="/k", sni="s"),
                TlsOrigination("MUTUAL", "s", certificate="/c", private_key="/k", verify="auto"),
            ),
            (ClientTLSSettings(mode="MUTUAL", client_certificate="/c"), None),
            # Only a rule can choose the clients that may have a secret.
            (ClientTLSSettings(mode="SIMPLE", credential_name="c"), None),
            (
                ClientTLSSettings(mode="ISTIO_MUTUAL"),
                TlsOrigination("ISTIO_MUTUAL", auto_sni=True, verify="auto", alpn=IN_MESH),
            ),
        ],
    )
    def test_unknown_ones(self, settings: ClientTLSSettings | None, expected: TlsOrigination | None) -> None:
        assert unknown_tls(settings, None) == expected

    def test_unknown_ones_keep_the_meshs_defaults(self) -> None:
        made = unknown_tls(ClientTLSSettings(mode="SIMPLE"), TLSConfig(ecdh_curves=("X25519",)))
        assert made is not None
        assert made.curves == ("X25519",)
