//! Endpoints as they are told.

use roadstead_core::balance::ClusterState;
use roadstead_core::choose::Chosen;
use roadstead_core::model::EndpointKind;

use crate::embed::Embed;
use crate::types::{roadstead_address, roadstead_endpoint, roadstead_health, roadstead_str};

/// The strings are those of what was chosen.
#[inline]
pub fn told_of<A: Embed>(chosen: &Chosen<A>) -> roadstead_endpoint {
    match chosen {
        Chosen::Of(state, index) => told(state, *index),
        Chosen::Dialled(dialled) => {
            let (address, port, kind) = &**dialled;
            roadstead_endpoint {
                struct_size: 0,
                address: roadstead_str::of(address),
                hostname: roadstead_str::of(""),
                locality: roadstead_str::of(""),
                kind: kind_of(*kind) as i32,
                health: roadstead_health::ROADSTEAD_UNKNOWN as i32,
                priority: 0,
                weight: 1,
                port: *port,
            }
        }
    }
}

#[inline]
fn kind_of(kind: EndpointKind) -> roadstead_address {
    match kind {
        EndpointKind::Ip => roadstead_address::ROADSTEAD_IP,
        EndpointKind::Hostname => roadstead_address::ROADSTEAD_HOSTNAME,
        EndpointKind::Unix => roadstead_address::ROADSTEAD_UNIX,
    }
}

/// The strings are the state's.
#[inline]
pub fn told<A: Embed>(state: &ClusterState<A>, index: u32) -> roadstead_endpoint {
    let endpoint = &state.membership.endpoints[index as usize];
    let group = &state.membership.groups[endpoint.group as usize];
    roadstead_endpoint {
        struct_size: 0,
        address: roadstead_str::of(&endpoint.def.address),
        hostname: roadstead_str::of(&endpoint.def.hostname),
        locality: roadstead_str::of(&group.locality),
        kind: kind_of(endpoint.def.kind) as i32,
        health: state.health(index) as i32,
        priority: group.priority,
        weight: endpoint.def.weight,
        port: endpoint.def.port,
    }
}
