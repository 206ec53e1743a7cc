"""The endpoints behind a host: the host itself, those written into ServiceEntries, and WorkloadEntries they select
(Istio: serviceentry/conversion.go, and the filters of xds/endpoints/endpoint_builder.go).

What does not depend on the port (labels, locality, identity) is made once for each endpoint, then one `Endpoint` for
each port.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

from roadstead.compile.inputs import Env, HostView, Scope
from roadstead.compile.locality import client_labels
from roadstead.compile.services import ip_family, usable_addresses
from roadstead.config import Resource, ServiceEntry, ServicePort, WorkloadEntry
from roadstead.config.dialect import PRIORITIES, PRIORITY_LABEL, REGION_LABEL, ZONE_LABEL, resolution_of
from roadstead.locality import of_endpoint
from roadstead.mesh import Endpoint, Port, WorkloadProbe
from roadstead.mesh.service import Resolution

TLS_MODE_LABEL = "security.istio.io/tlsMode"
DRAINING_LABEL = "istio.io/draining"
PERSISTENT_SESSION_LABEL = "istio.io/persistent-session"
WORKLOAD_NAME_LABEL = "service.istio.io/workload-name"
AUTO_REGISTRATION = "istio.io/autoRegistrationGroup"
DNS_RESOLUTIONS = ("DNS", "DNS_ROUND_ROBIN")

Kind = Literal["ip", "hostname", "unix"]


class _Place(NamedTuple):
    """One endpoint without its port."""

    address: str
    kind: Kind
    weight: int
    labels: dict[str, str]
    locality: str
    network: str
    namespace: str
    workload_name: str
    service_account: str
    tls_mode: str
    health: str
    tier: int
    ports: Mapping[str, int]
    probe: WorkloadProbe | None = None


def endpoints_of(scope: Scope, view: HostView, *, behind: bool = False) -> dict[int, tuple[Endpoint, ...]]:
    """Endpoints by number of the merged service's ports, in Istio's order: entries by age, then as written or selected.

    STATIC services find theirs by the port's name, DNS services by its number: so two entries of one host that name a
    port differently share it under DNS only. An entry with several addresses has its endpoints that often, as in Istio.
    behind: those that are asked what they are, not sent anywhere: always by number.
    """
    service = view.merged
    by_dns = service.resolution in DNS_RESOLUTIONS
    by_number = by_dns or behind
    found: dict[int, list[Endpoint]] = {port.number: [] for port in service.ports}
    keeps_draining = bool(service.labels.get(PERSISTENT_SESSION_LABEL))
    elsewhere = scope.env.node.cluster != CLUSTER_ID and scope.env.stays_local(view.host)
    for places, ports, copies in _instances(scope, view):
        wanted = _wanted(ports, service.ports, by_number)
        if not wanted:
            continue
        kept = [
            place
            for place in places
            if (keeps_draining or place.health != "DRAINING") and _reachable(place, by_dns, scope.env)
        ]
        if elsewhere:
            kept = []
        for port, numbers in wanted:
            made = [_at(place, port) for place in kept]
            for number in numbers:
                found[number].extend(made * copies if copies != 1 else made)
    return {number: tuple(endpoints) for number, endpoints in found.items()}


def own_target(scope: Scope, entry: Resource[ServiceEntry], number: int, ips: Collection[str]) -> int | None:
    """The port that an entry's first endpoint at one of the addresses has for a port; None without one."""
    for place in _places(scope, entry, resolution_of(entry.spec, scope.env.dialect)):
        if place.address in ips:
            for port in entry.spec.ports:
                if port.number == number:
                    return place.ports.get(port.name) or port.target_port or number
    return None


def accounts_of(scope: Scope, view: HostView) -> set[str]:
    """SPIFFE identities of all workloads behind a host, also of those that its service has no port for."""
    found = _instances(scope, view)
    return {place.service_account for places, ports, _ in found if ports for place in places if place.service_account}


def _instances(scope: Scope, view: HostView) -> Iterator[tuple[Sequence[_Place], Sequence[ServicePort], int]]:
    """What each entry of a host has, by age: places, the ports that they have, and how often they count."""
    taken: set[int] = set()
    for entry in view.entries:
        spec = entry.spec
        copies = len(usable_addresses(spec.addresses))
        resolution = resolution_of(spec, scope.env.dialect)
        places: Sequence[_Place]
        if spec.endpoints or spec.workload_selector is not None:
            places = _places(scope, entry, resolution)
        elif resolution in DNS_RESOLUTIONS:
            places = (_host_itself(view.host, entry, scope.env),)
        else:
            continue
        if not places or not copies:
            continue
        ports: Sequence[ServicePort] = spec.ports
        if resolution == "DNS_ROUND_ROBIN":
            # Such an entry has one name on each port, and none where an older entry has anything.
            places, copies = places[:1], 1
            ports = [port for port in ports if port.number not in taken]
        taken.update([port.number for port in ports])
        yield places, ports, copies


def selected(endpoints: tuple[Endpoint, ...], labels: Mapping[str, str]) -> tuple[Endpoint, ...]:
    """Members of a subset: those that carry all of its labels; without labels all of them, as the same object."""
    if not labels:
        return endpoints
    if len(labels) == 1:
        [(name, value)] = labels.items()
        chosen = [endpoint for endpoint in endpoints if endpoint.labels.get(name) == value]
    else:
        wanted = labels.items()
        chosen = [endpoint for endpoint in endpoints if wanted <= endpoint.labels.items()]
    return endpoints if len(chosen) == len(endpoints) else tuple(chosen)


def _wanted(
    written: Sequence[ServicePort], ports: tuple[Port, ...], by_number: bool
) -> list[tuple[tuple[int, str, int], tuple[int, ...]]]:
    """Ports of an entry as (number, name, target port), with the numbers of the service's ports they belong to."""
    wanted = []
    for port in written:
        if by_number:
            numbers = tuple([known.number for known in ports if known.number == port.number])
        else:
            numbers = tuple([known.number for known in ports if known.name == port.name])
        if numbers:
            wanted.append(((port.number, port.name, port.target_port or port.number), numbers))
    return wanted


def _at(place: _Place, port: tuple[int, str, int]) -> Endpoint:
    number, name, target = port
    return Endpoint(
        place.address,
        0 if place.kind == "unix" else (place.ports.get(name) or target),
        place.kind,
        place.weight,
        place.labels,
        place.locality,
        place.network,
        CLUSTER_ID,
        place.namespace,
        place.workload_name,
        place.service_account,
        place.tls_mode,
        place.health,
        "",
        name,
        number,
        place.tier,
        place.probe,
    )


CLUSTER_ID = "Kubernetes"
"""The registry that ServiceEntries belong to: Istio's name for the cluster of its own control plane."""
_NO_PORTS: dict[str, int] = {}


def _host_itself(host: str, entry: Resource[ServiceEntry], env: Env) -> _Place:
    kind: Kind = "ip" if ip_family(host) else "hostname"
    return _Place(host, kind, 1, _NO_LABELS, "", "", entry.namespace, entry.name, "", "disabled", "", 0, _NO_PORTS)


_NO_LABELS: dict[str, str] = {}


def _places(scope: Scope, entry: Resource[ServiceEntry], resolution: Resolution) -> list[_Place]:
    env = scope.env
    name, namespace, extended = entry.name, entry.namespace, env.extended
    places = [
        _place(endpoint, endpoint.labels, f"{name}-{index}", namespace, env, extended)
        for index, endpoint in enumerate(entry.spec.endpoints)
    ]
    selector = entry.spec.workload_selector
    if selector is None:
        return places
    for workload in scope.workloads(namespace, selector.labels):
        place = _selected_place(workload, env)
        if extended and place.address:
            place = place._replace(probe=scope.probe(workload))
        # Only DNS can follow a name, and Istio lets it have the sockets too.
        if place.kind == "ip" or resolution in DNS_RESOLUTIONS:
            places.append(place)
    return places


def _selected_place(workload: Resource[WorkloadEntry], env: Env) -> _Place:
    labels = workload_labels(workload)
    name = workload.metadata.annotations.get(AUTO_REGISTRATION) or labels.get(WORKLOAD_NAME_LABEL) or workload.name
    # The extended dialect gives meaning to labels of inline endpoints only; a workload's are its owner's business.
    return _place(workload.spec, labels, name, workload.namespace, env, False)


def workload_labels(workload: Resource[WorkloadEntry]) -> Mapping[str, str]:
    """A workload's own labels: those of its metadata win over those of its spec."""
    if not workload.metadata.labels:
        return workload.spec.labels
    return {**workload.spec.labels, **workload.metadata.labels}


def selectable_labels(workload: Resource[WorkloadEntry]) -> Mapping[str, str]:
    """What a selector compares: the workload's labels with its topology in them."""
    spec = workload.spec
    return _read(tuple(workload_labels(workload).items()), spec.locality, spec.network, False).labels


def _place(
    written: WorkloadEntry, labels: Mapping[str, str], name: str, namespace: str, env: Env, extended: bool
) -> _Place:
    address = written.address
    kind: Kind
    if address.startswith("unix://"):
        kind, address = "unix", address[7:]
    else:
        kind = "ip" if not address or ip_family(address) else "hostname"
    said = _read(tuple(labels.items()), written.locality, written.network, extended)
    account = ""
    if written.service_account:
        account = f"spiffe://{env.mesh.trust_domain or 'cluster.local'}/ns/{namespace}/sa/{written.service_account}"
    return _Place(
        address,
        kind,
        written.weight or 1,
        said.labels,
        said.locality,
        written.network,
        namespace,
        name,
        account,
        said.tls_mode or ("istio" if account else "disabled"),
        said.health,
        said.tier,
        written.ports,
    )


class _Labels(NamedTuple):
    """What labels, locality and network of an endpoint come to."""

    labels: dict[str, str]
    locality: str
    tls_mode: str
    health: str
    tier: int


# Many endpoints of a mesh are labelled alike: they are read once, and share the object.
@lru_cache(maxsize=4096)
def _read(labels: tuple[tuple[str, str], ...], locality: str, network: str, extended: bool) -> _Labels:
    own = dict(labels)
    locality = of_endpoint(locality, own)
    if extended and not locality:
        region, zone = own.get(REGION_LABEL, ""), own.get(ZONE_LABEL, "")
        locality = f"{region}/{zone}" if zone else region
    return _Labels(
        client_labels(own, locality, network, CLUSTER_ID),
        locality,
        own.get(TLS_MODE_LABEL, ""),
        "DRAINING" if own.get(DRAINING_LABEL) else "",
        PRIORITIES.get(own.get(PRIORITY_LABEL, ""), 0) if extended else 0,
    )


def _reachable(place: _Place, by_dns: bool, env: Env) -> bool:
    """Whether a cluster can hold the endpoint: only DNS follows names (in the extended dialect any does). What has no
    address waits for a gateway of its network; without any it stays, as in Istio, though nobody can connect to it."""
    if place.kind == "hostname":
        return by_dns or env.extended
    return bool(place.address) or not by_dns
