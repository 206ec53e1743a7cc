"""Which destinations are chosen by a hash, asked for every route and mostly answered with "none"."""

from __future__ import annotations

from roadstead.compile.clusters import hash_keys
from roadstead.compile.inputs import HostView, RuleView, Scope
from roadstead.config import LoadBalancerSettings, TrafficPolicy
from roadstead.mesh import HashKey


class HashKeys:
    """Hash keys of destinations while one unit is compiled. A host whose rule hashes nothing is looked at once."""

    __slots__ = ("_hashed", "_scope")

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._hashed: dict[str, HostView | None] = {}

    def of(self, host: str, port: int, subset: str, explicit_port: bool) -> tuple[HashKey, ...] | None:
        """Keys of a destination, None where it is not chosen by a hash. explicit_port: the destination names its
        port."""
        view = self.hashed(host)
        return None if view is None else hash_keys(self._scope, view, port, subset, explicit_port)

    def hashed(self, host: str) -> HostView | None:
        """The service of a destination, if anything of its rule hashes."""
        if host in self._hashed:
            return self._hashed[host]
        view = self._scope.view(host)
        rule = None if view is None else self._scope.rule(view)
        made = self._hashed[host] = view if rule is not None and _hashes(rule) else None
        return made

    def of_view(self, view: HostView, port: int) -> tuple[HashKey, ...]:
        """Keys of a service's own default route."""
        rule = self._scope.rule(view)
        if rule is None or not _hashes(rule):
            return ()
        return hash_keys(self._scope, view, port, "", True) or ()


def _hashes(rule: RuleView) -> bool:
    policies: list[TrafficPolicy | None] = [
        rule.rules[at].spec.subsets[index].traffic_policy for at, index in rule.subsets
    ]
    if rule.policy_from >= 0:
        policies.append(rule.rules[rule.policy_from].spec.traffic_policy)
    for policy in policies:
        if policy is not None:
            if _hash(policy.load_balancer):
                return True
            for level in policy.port_level_settings:
                if _hash(level.load_balancer):
                    return True
    return False


def _hash(settings: LoadBalancerSettings | None) -> bool:
    return settings is not None and settings.consistent_hash is not None
