"""TLS as Envoy gets it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.xds.resources.documents import document, entry

from roadstead.mesh import Node, ServerTls
from roadstead.xds.json import to_json
from roadstead.xds.resources.tls import downstream_socket

if TYPE_CHECKING:
    from tests.xds.resources.conftest import Send

DEFAULTS = "tlsDefaults: {minProtocolVersion: TLSV1_3, cipherSuites: [AES128-GCM-SHA256], ecdhCurves: [P-256]}"
PLAIN = {"tls_minimum_protocol_version": "TLSv1_2", "tls_maximum_protocol_version": "TLSv1_3"}
ROUTER = Node(type="router", labels={"app": "gw"})


def upstream(send: Send, settings: str, mesh: str = "", **node: Any) -> Any:
    """The common part of the context of a cluster under a rule."""
    rule = document("DestinationRule", "a", f"{{host: a.test, trafficPolicy: {{tls: {settings}}}}}")
    sent = send(entry("a.test", "443/https/HTTP", "resolution: DNS") + rule, mesh=mesh, node=Node(**node))
    cluster: Any = sent.clusters["outbound|443||a.test"]
    return cluster["transport_socket"]["typed_config"]["common_tls_context"]


def ended(send: Send, settings: str, mesh: str = "") -> Any:
    """The context of a router's server."""
    gateway = document(
        "Gateway",
        "gw",
        "{selector: {app: gw}, servers: [{port: {number: 443, name: https, protocol: HTTPS}, hosts: ['*'], "
        f"tls: {settings}}}]}}",
    )
    listener: Any = send(gateway, mesh=mesh, node=ROUTER).listeners["0.0.0.0_443"]
    return listener["filter_chains"][0]["transport_socket"]["typed_config"]


def test_a_client_speaks_what_the_mesh_says(send: Send) -> None:
    """But for the lowest version, which is 1.2 for every client."""
    assert upstream(send, "{mode: SIMPLE}")["tls_params"] == PLAIN
    heeded = PLAIN | {"cipher_suites": ["AES128-GCM-SHA256"], "ecdh_curves": ["P-256"]}
    assert upstream(send, "{mode: SIMPLE}", DEFAULTS)["tls_params"] == heeded
    assert upstream(send, "{mode: ISTIO_MUTUAL}", DEFAULTS)["tls_params"] == PLAIN


@pytest.mark.parametrize(
    ("settings", "checked"),
    [
        ("{mode: SIMPLE}", "file-root:system"),
        ("{mode: SIMPLE, caCertificates: /ca}", "file-root:/ca"),
        ("{mode: MUTUAL, clientCertificate: /c, privateKey: /k}", "file-root:system"),
        ("{mode: SIMPLE, insecureSkipVerify: true}", None),
    ],
)
@pytest.mark.parametrize("mesh", ["", "verifyCertificateAtClient: true", "verifyCertificateAtClient: false"])
def test_certificates_are_checked_whatever_the_mesh_says(send: Send, settings: str, checked: str, mesh: str) -> None:
    """verifyCertificateAtClient is read by nothing in Istio; the roots of the system are the default."""
    context = upstream(send, settings, mesh)
    if checked is None:
        assert context["validation_context"] == {}
    else:
        assert context["combined_validation_context"]["validation_context_sds_secret_config"]["name"] == checked


def test_an_unchecked_secret_says_nothing_of_checks(send: Send) -> None:
    context = upstream(send, "{mode: MUTUAL, credentialName: c, insecureSkipVerify: true}", type="router")
    assert "validation_context" not in context
    assert "combined_validation_context" not in context


def test_a_server_speaks_what_the_mesh_says_and_what_it_says_itself(send: Send) -> None:
    secret = "{mode: SIMPLE, credentialName: c"
    assert "tls_params" not in ended(send, f"{secret}}}")["common_tls_context"]
    assert ended(send, f"{secret}}}", DEFAULTS)["common_tls_context"]["tls_params"] == {
        "tls_minimum_protocol_version": "TLSv1_3",
        "cipher_suites": ["AES128-GCM-SHA256"],
        "ecdh_curves": ["P-256"],
    }
    own = f"{secret}, minProtocolVersion: TLSV1_2, ecdhCurves: [X25519]}}"
    assert ended(send, own, DEFAULTS)["common_tls_context"]["tls_params"] == {
        "tls_minimum_protocol_version": "TLSv1_2",
        "cipher_suites": ["AES128-GCM-SHA256"],
        "ecdh_curves": ["X25519"],
    }


@pytest.mark.parametrize(
    ("settings", "required", "default"),
    [
        ("{mode: MUTUAL, credentialName: c}", True, {}),
        ("{mode: MUTUAL, credentialName: c, insecureSkipVerify: true}", True, {"trust_chain_verification": "ACCEPT_UNTRUSTED"}),
        ("{mode: OPTIONAL_MUTUAL, credentialName: c}", False, {}),
        ("{mode: OPTIONAL_MUTUAL, credentialName: c, insecureSkipVerify: true}", False, {"trust_chain_verification": "ACCEPT_UNTRUSTED"}),
        ("{mode: ISTIO_MUTUAL, subjectAltNames: [x]}", True, {"match_subject_alt_names": [{"exact": "x"}]}),
        ("{mode: MUTUAL, credentialName: c, verifyCertificateHash: [h]}", True, {"verify_certificate_hash": ["h"]}),
    ],
)  # fmt: skip
def test_a_client_of_a_server_is_checked(send: Send, settings: str, required: bool, default: dict[str, object]) -> None:
    context = ended(send, settings)
    assert context["require_client_certificate"] is required
    assert context["common_tls_context"]["combined_validation_context"]["default_validation_context"] == default


def test_names_of_a_client_that_may_bring_a_certificate(send: Send) -> None:
    context = ended(send, "{mode: SIMPLE, credentialName: c, subjectAltNames: [x]}")["common_tls_context"]
    assert context["validation_context"] == {"match_subject_alt_names": [{"exact": "x"}]}
    files = "{mode: SIMPLE, serverCertificate: /c, privateKey: /k, subjectAltNames: [x]}"
    assert "validation_context" not in ended(send, files)["common_tls_context"]


def test_the_ca_is_the_meshs_where_none_is_given() -> None:
    made: Any = to_json(downstream_socket(ServerTls("MUTUAL", certificates=(("/c", "/k"),)), ()))
    combined = made["typed_config"]["common_tls_context"]["combined_validation_context"]
    assert combined["validation_context_sds_secret_config"]["name"] == "ROOTCA"
