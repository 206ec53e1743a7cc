"""What people watch: Envoy's cluster statistics, its admin interface, Istio's standard metrics, alert rules.

`envoy` reads the engine's counters when it is asked, `admin` serves them, `istio` counts requests, `alerts.yaml` holds
Prometheus rules over both (`alert_rules` gives its path).
"""

from __future__ import annotations

from pathlib import Path


def alert_rules() -> Path:
    """The file of alert rules, for `rule_files` of a Prometheus."""
    return Path(__file__).with_name("alerts.yaml")


__all__ = ["alert_rules"]
