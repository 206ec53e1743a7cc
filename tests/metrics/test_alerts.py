"""The alert rules come with the package under their names; `tests/alerts` evaluates them."""

from __future__ import annotations

import yaml

from roadstead.metrics import alert_rules


def test_the_rules_are_there() -> None:
    [group] = yaml.safe_load(alert_rules().read_text(encoding="utf-8"))["groups"]
    assert [(rule["alert"], rule["labels"]["severity"]) for rule in group["rules"]] == [
        ("ExternalServiceDown", "warning"),
        ("ExternalServiceHighLatency", "warning"),
    ]
