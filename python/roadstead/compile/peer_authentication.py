"""Whether workloads take mTLS (Istio: model/authentication.go, security/authn/policy_applier.go)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from roadstead.compile.facts import PeerFacts, is_subset
from roadstead.mesh import Endpoint

_REFUSED = "DISABLE"


class PeerModes(msgspec.Struct, frozen=True):
    """The PeerAuthentications of one namespace. mode: of its workloads where nothing else is said: UNSET, DISABLE,
    PERMISSIVE or STRICT. workloads: those with a selector, oldest first."""

    mode: str = "UNSET"
    workloads: tuple[PeerFacts, ...] = ()

    @property
    def refused(self) -> bool:
        """Whether no workload is told otherwise than to refuse mTLS: what decides for a whole service."""
        return self.mode == _REFUSED

    @property
    def may_refuse(self) -> bool:
        """Whether any workload may refuse mTLS."""
        if self.mode == _REFUSED:
            return True
        return any(fact.mode == _REFUSED or _REFUSED in dict(fact.ports).values() for fact in self.workloads)

    def at(self, labels: Mapping[str, str], port: int) -> str:
        """The mode of a workload at one of its ports: of the oldest that selects it, first for the port, then for all;
        UNSET inherits."""
        for fact in self.workloads:
            if is_subset(fact.selector, labels):
                mode = self.mode if fact.mode == "UNSET" else fact.mode
                for number, own in fact.ports:
                    if number == port and own != "UNSET":
                        return own
                return mode
        return self.mode

    def judged(self, endpoints: tuple[Endpoint, ...]) -> tuple[Endpoint, ...]:
        """Endpoints, those that refuse mTLS without their `tls_mode`; the same object where that is none."""
        refused = [endpoint.tls_mode == "istio" and self._refuses(endpoint) for endpoint in endpoints]
        if not any(refused):
            return endpoints
        return tuple(
            [
                msgspec.structs.replace(endpoint, tls_mode="disabled") if refuses else endpoint
                for endpoint, refuses in zip(endpoints, refused, strict=True)
            ]
        )

    def _refuses(self, endpoint: Endpoint) -> bool:
        return self.at(endpoint.labels, endpoint.port) == _REFUSED


def peer_modes(own: Sequence[PeerFacts], root: Sequence[PeerFacts], *, is_root: bool) -> PeerModes:
    """own, root: PeerAuthentications of the namespace and of the root namespace, oldest first. In the root namespace
    selectors select nobody."""
    mode = "UNSET"
    for facts in (root,) if is_root else (own, root):
        # Of several for a whole namespace the oldest counts, even if it says nothing.
        oldest = next((fact for fact in facts if not fact.selector), None)
        if oldest is not None and oldest.mode != "UNSET":
            mode = oldest.mode
            break
    return PeerModes(mode, () if is_root else tuple([fact for fact in own if fact.selector]))
