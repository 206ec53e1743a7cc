"""The alert rules, evaluated by Prometheus's own promtool on series that real requests made.

`promtool` must be there (Debian: package prometheus), so this room is no part of a plain `pytest`."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from tests.clients.servers import Servers, servers

from roadstead import Registry
from roadstead.clients.httpx import Transport
from roadstead.metrics import alert_rules
from roadstead.metrics.envoy import ClusterCollector
from roadstead.metrics.istio import RequestRecorder

SECOND = 1_000_000_000
MINUTES = 8
MESH = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: api}}
spec:
  hosts: [api.test]
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  resolution: STATIC
  endpoints: [{{address: 127.0.0.1, ports: {{http: {port}}}}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: api}}
spec:
  hosts: [api.test]
  http:
  - route: [{{destination: {{host: api.test}}}}]
    timeout: 60s
    retries: {{attempts: 0}}
"""
Series = dict[str, list[float]]


class Watched:
    """A client of a mesh, its clock in the test's hands, and what a scraper saw of it, once a minute."""

    def __init__(self, port: int) -> None:
        self.now = 0
        registry = Registry.from_text(MESH.format(port=port), clock=lambda: self.now)
        recorder = RequestRecorder(registry)
        self.metrics = CollectorRegistry()
        self.metrics.register(recorder)
        self.metrics.register(ClusterCollector(registry))
        self.client = httpx.Client(transport=Transport(registry, recorder=recorder))
        self.series: Series = {}

    def text(self) -> str:
        return generate_latest(self.metrics).decode()

    def scrape(self, minute: int) -> None:
        for family in text_string_to_metric_families(self.text()):
            for sample in family.samples:
                labels = ",".join(f'{name}="{value}"' for name, value in sample.labels.items())
                self.series.setdefault(f"{sample.name}{{{labels}}}", [0.0] * minute).append(sample.value)

    def minutes(self, requests: int, seconds: float = 0.0) -> Series:
        """So many requests each minute that took so long."""
        with self.client as client:
            for minute in range(MINUTES):
                for _ in range(requests):
                    with client.stream("GET", "http://api.test/") as answer:
                        self.now += int(seconds * SECOND)
                        answer.read()
                self.scrape(minute)
        return self.series


@pytest.fixture
def made() -> Iterator[Servers]:
    with servers() as all_of_them:
        yield all_of_them


def promtool(*arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(["promtool", *arguments], input=text, capture_output=True, text=True, check=False)


def firing(series: Series, alert: str, folder: Path) -> bool:
    """Whether the alert fires at the end of the series."""

    def told(alerts: list[dict[str, object]]) -> subprocess.CompletedProcess[str]:
        test = {
            "rule_files": [str(alert_rules())],
            "evaluation_interval": "1m",
            "tests": [
                {
                    "interval": "1m",
                    "input_series": [
                        {"series": name, "values": " ".join(f"{value:g}" for value in values)}
                        for name, values in series.items()
                    ],
                    "alert_rule_test": [{"eval_time": f"{MINUTES - 1}m", "alertname": alert, "exp_alerts": alerts}],
                }
            ],
        }
        file = folder / "test.yaml"
        file.write_text(yaml.safe_dump(test))
        return promtool("test", "rules", str(file))

    quiet = told([])
    assert quiet.returncode in (0, 1), quiet.stderr
    if quiet.returncode == 0:
        return False
    assert "exp:[" in quiet.stdout + quiet.stderr
    return True


def test_the_rules_are_good() -> None:
    checked = promtool("check", "rules", str(alert_rules()))
    assert checked.returncode == 0, checked.stderr
    assert "2 rules found" in checked.stdout


def test_what_we_tell_is_prometheus_text(made: Servers) -> None:
    watched = Watched(made.http().port)
    watched.minutes(1)
    checked = promtool("check", "metrics", text=watched.text())
    # 3: told, with remarks about names, which are Istio's and Envoy's.
    assert checked.returncode in (0, 3), checked.stderr
    named = {"istio_request_duration_milliseconds", "envoy_cluster_membership_total"}
    assert {line.split(" ")[0] for line in checked.stderr.splitlines()} == named


@pytest.mark.parametrize(("requests", "fires"), [(10, True), (1, False)])
def test_a_service_that_is_down(made: Servers, tmp_path: Path, requests: int, fires: bool) -> None:
    """More than 0.1 failed connections a second over five minutes."""
    server = made.http()
    server.stop()
    series = Watched(server.port).minutes(requests)
    assert firing(series, "ExternalServiceDown", tmp_path) is fires
    assert not firing(series, "ExternalServiceHighLatency", tmp_path)


@pytest.mark.parametrize(("seconds", "fires"), [(20.0, True), (0.2, False)])
def test_a_service_that_is_slow(made: Servers, tmp_path: Path, seconds: float, fires: bool) -> None:
    """Of the requests of five minutes, one in a hundred over five seconds."""
    series = Watched(made.http().port).minutes(3, seconds)
    assert firing(series, "ExternalServiceHighLatency", tmp_path) is fires
    assert not firing(series, "ExternalServiceDown", tmp_path)
