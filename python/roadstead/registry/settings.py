"""Mesh-wide settings, and what they mean for one client."""

from __future__ import annotations

import msgspec

from roadstead.compile.inputs import Env
from roadstead.compile.locality import REGION_LABEL, SUBZONE_LABEL, ZONE_LABEL, client_labels
from roadstead.compile.networks import gateways_of
from roadstead.config import MeshConfig, MeshNetworks
from roadstead.locality import LOCALITY_LABELS, parse
from roadstead.mesh import Node


class Settings(msgspec.Struct, frozen=True):
    """What all clients share: the MeshConfig, the MeshNetworks and the dialect."""

    mesh: MeshConfig
    networks: MeshNetworks | None
    extended: bool


def env_of(node: Node, settings: Settings) -> Env:
    """The settings as one client has them."""
    locality = locality_of(node)
    labels = client_labels(node.labels, locality, node.network, node.cluster)
    gateways = gateways_of(settings.networks)
    return Env(node, settings.mesh, settings.extended, parse(locality), labels, gateways)


def locality_of(node: Node) -> str:
    """Where a client is: its topology labels if it has one of them, else a locality label as it stands, else what it
    says of itself (not quite the rule of endpoints)."""
    topology = [node.labels.get(name, "") for name in (REGION_LABEL, ZONE_LABEL, SUBZONE_LABEL)]
    if any(topology):
        return "/".join(topology)
    return next((node.labels[name] for name in LOCALITY_LABELS if node.labels.get(name)), node.locality)
