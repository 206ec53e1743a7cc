//! Where a request or connection goes: name, port, virtual host or filter chain, route, destination, cluster.

use std::net::IpAddr;
use std::sync::Arc;

use crate::chains::{Chain, choose};
use crate::cluster::Service;
use crate::decision::{Decision, Kind, Matched, Notes, Scheme};
use crate::model::{Action, Attach, Outbound, Protocol, Transport};
use crate::names::{Claim, HostKey};
use crate::request::Request;
use crate::text::{fold, ip_of, is_ascii, normal_host};
use crate::view::View;
use crate::virtual_host::{VirtualHost, Weighted};

const HTTP_PORT: u16 = 80;
const HTTPS_PORT: u16 = 443;

/// What is known of a decision before its rule is looked for.
#[derive(Clone, Copy)]
struct Begun {
    draw: u64,
    port: u16,
    scheme: Scheme,
    notes: Notes,
}

/// A normalised host, and the address that it is.
#[derive(Clone, Copy)]
struct Target<'t> {
    host: &'t str,
    address: Option<IpAddr>,
}

/// Where an HTTP request goes. `port` None: the scheme's default.
#[inline]
pub fn route<A: Attach, R: Request<A> + ?Sized>(
    snapshot: &View<A>,
    request: &R,
    port: Option<u16>,
    draw: u64,
) -> Decision<A> {
    let dialled = request.dialled();
    if let (Some(port), None, None) = (port, request.scheme(), dialled) {
        // The common case: an exact name at a plain port, and a path that is ASCII.
        let name = snapshot.name(HostKey::of(request.host()));
        if let Some(host) = name.and_then(|name| name.virtual_host(port, false))
            && host.plain
            && is_ascii(request.path().as_bytes())
        {
            let begun = Begun { draw, port, scheme: Scheme::Http, notes: Notes::default() };
            return through(snapshot, request, host, begun);
        }
    }
    match dialled {
        Some((address, own)) => captured(snapshot, request, address, port.unwrap_or(own), draw),
        None => route_other(snapshot, request, port, draw),
    }
}

/// A request that was on its way to an address: its listener decides, and the Host only where that one asks it.
#[cold]
fn captured<A: Attach, R: Request<A> + ?Sized>(
    snapshot: &View<A>,
    request: &R,
    address: IpAddr,
    port: u16,
    draw: u64,
) -> Decision<A> {
    let scheme = match request.scheme().filter(|scheme| !scheme.is_empty()) {
        Some("https") => Scheme::Https,
        Some("http") | None => Scheme::Http,
        Some(_) => Scheme::Given,
    };
    let mut begun = Begun { draw, port, scheme, notes: Notes::default() };
    let (name, normal) = (normal_host(request.host(), true), snapshot.normal(request.host()));
    if scheme == Scheme::Https {
        if let Some(over_tls) = snapshot.virtual_host(&name, port, true) {
            return through(snapshot, request, over_tls, begun);
        }
        return match snapshot.accept(Some(address), port, &normal, Transport::Tls) {
            Some(chain) => taken(snapshot, begun, chain),
            None => unknown(snapshot, &normal, begun, true),
        };
    }
    let (http, host) = snapshot.hears(address, port);
    if http && is_http(snapshot, request) {
        return match host.or_else(|| snapshot.virtual_host(&name, port, false)) {
            Some(host) => through(snapshot, request, host, begun),
            None => unknown(snapshot, &normal, begun, false),
        };
    }
    let chain = snapshot.accept(Some(address), port, "", Transport::Raw);
    if chain.is_none() && snapshot.outbound == Outbound::AllowAnyDynamicDns && !snapshot.listens(address, port) {
        return unknown(snapshot, &normal, begun, false);
    }
    begun.notes.as_connection = true;
    match chain {
        Some(chain) => taken(snapshot, begun, chain),
        None => unknown(snapshot, &normal, begun, true),
    }
}

/// Whether a sidecar takes the request for HTTP: Envoy's inspector does not where its path is not ASCII, and what it does
/// not take is bytes. A router takes whatever comes.
fn is_http<A: Attach, R: Request<A> + ?Sized>(snapshot: &View<A>, request: &R) -> bool {
    is_ascii(request.path().as_bytes()) || snapshot.outbound == Outbound::Gateway
}

/// What a filter chain does with a connection.
fn taken<A: Attach>(snapshot: &View<A>, begun: Begun, chain: &Arc<Chain<A>>) -> Decision<A> {
    forwarded(snapshot, begun, Matched::Chain(Arc::clone(chain)), &chain.weighted)
}

/// Every case: default ports, wildcards, schemes that do not fit the port.
#[cold]
fn route_other<A: Attach, R: Request<A> + ?Sized>(
    snapshot: &View<A>,
    request: &R,
    port: Option<u16>,
    draw: u64,
) -> Decision<A> {
    let given = request.scheme().filter(|scheme| !scheme.is_empty());
    let mut notes = Notes::default();
    let port = port.unwrap_or_else(|| {
        notes.default_port = true;
        if given == Some("https") { HTTPS_PORT } else { HTTP_PORT }
    });
    let normal = snapshot.normal(request.host());
    let exact = snapshot.name(HostKey::of(request.host())).and_then(|name| name.virtual_host(port, false));
    let host = exact.or_else(|| snapshot.virtual_host(&normal, port, false));
    let owner = host.and_then(|host| host.service.as_ref());
    let owner = owner.or_else(|| snapshot.find_normal(&normal, port).map(|found| found.service));
    let protocol = owner.and_then(|owner| owner.protocol(port));
    let scheme = match given {
        Some("https") => Scheme::Https,
        Some("http") => Scheme::Http,
        Some(_) => Scheme::Given,
        None if protocol == Some(Protocol::Tls) => Scheme::Https,
        None => Scheme::Http,
    };
    let mut begun = Begun { draw, port, scheme, notes };
    if scheme == Scheme::Https {
        if let Some(over_tls) = snapshot.virtual_host(&normal, port, true) {
            return through(snapshot, request, over_tls, begun);
        }
        if host.is_none() && owner.is_none() {
            return unknown(snapshot, &normal, begun, true);
        }
        begun.notes.tls_on_http = matches!(protocol, None | Some(Protocol::Http));
        let target = Target { host: &normal, address: ip_of(&normal) };
        return connected(snapshot, target, &normal, Transport::Tls, begun);
    }
    if !is_http(snapshot, request) {
        begun.notes.as_connection = true;
        let target = Target { host: &normal, address: ip_of(&normal) };
        return connected(snapshot, target, "", Transport::Raw, begun);
    }
    if let Some(host) = host {
        return through(snapshot, request, host, begun);
    }
    if owner.is_none() {
        return unknown(snapshot, &normal, begun, false);
    }
    begun.notes.http_on_tls = protocol == Some(Protocol::Tls);
    let target = Target { host: &normal, address: ip_of(&normal) };
    connected(snapshot, target, "", Transport::Raw, begun)
}

/// Where a connection goes. The request's host may be a name or an IP.
pub fn connect<A: Attach, R: Request<A> + ?Sized>(
    snapshot: &View<A>,
    request: &R,
    port: u16,
    sni: Option<&str>,
    draw: u64,
) -> Decision<A> {
    let normal = snapshot.normal(request.host());
    let target = Target { host: &normal, address: ip_of(&normal) };
    let owner = snapshot.find_known(&normal, target.address, port);
    let speaks_tls = owner.and_then(|owner| owner.service.protocol(port)) == Some(Protocol::Tls);
    let over_tls = sni.is_some() || speaks_tls;
    let scheme = if over_tls { Scheme::Https } else { Scheme::None };
    let transport = if over_tls { Transport::Tls } else { Transport::Raw };
    let notes = Notes { connection: true, ..Notes::default() };
    let begun = Begun { draw, port, scheme, notes };
    match sni {
        Some(sni) => connected(snapshot, target, &fold(sni), transport, begun),
        None if over_tls && target.address.is_none() => connected(snapshot, target, &normal, transport, begun),
        None => connected(snapshot, target, "", transport, begun),
    }
}

fn decided<A: Attach>(
    snapshot: &View<A>,
    begun: Begun,
    kind: Kind,
    matched: Matched<A>,
    destination: Option<u32>,
    slot: Option<u32>,
) -> Decision<A> {
    let Begun { draw, port, scheme, notes } = begun;
    Decision { snapshot: snapshot.hold(), matched, draw, slot, destination, port, kind, scheme, notes }
}

/// HTTP rules of a virtual host.
#[inline]
fn through<A: Attach, R: Request<A> + ?Sized>(
    snapshot: &View<A>,
    request: &R,
    host: &Arc<VirtualHost<A>>,
    mut begun: Begun,
) -> Decision<A> {
    let rule = host.find(request, begun.scheme.text(request));
    let matched = Matched::Host(Arc::clone(host), rule);
    let Some(route) = rule.and_then(|rule| host.routes.get(rule as usize)) else {
        return decided(snapshot, begun, Kind::NotFound, matched, None, None);
    };
    if let Some(extras) = &route.extras
        && extras.answers_preflight(&host.seen(request, begun.scheme.text(request)), begun.draw)
    {
        begun.notes.preflight = true;
        return decided(snapshot, begun, Kind::DirectResponse, matched, None, None);
    }
    match &route.weighted {
        Some(weighted) => forwarded(snapshot, begun, matched, weighted),
        None => {
            let kind = if route.action == Action::Redirect { Kind::Redirect } else { Kind::DirectResponse };
            decided(snapshot, begun, kind, matched, None, None)
        }
    }
}

/// To the destination that the draw chooses.
#[inline]
fn forwarded<A: Attach>(snapshot: &View<A>, begun: Begun, matched: Matched<A>, weighted: &Weighted) -> Decision<A> {
    let at = weighted.choose(begun.draw);
    let slot = weighted.destinations[at].slot;
    let kind = if snapshot.has_slot(slot) { Kind::Forward } else { Kind::NoCluster };
    decided(snapshot, begun, kind, matched, Some(at as u32), Some(slot))
}

/// Filter chains: a name selects its service, an IP the listener.
fn connected<A: Attach>(
    snapshot: &View<A>,
    Target { host, address }: Target<'_>,
    sni: &str,
    transport: Transport,
    begun: Begun,
) -> Decision<A> {
    let port = begun.port;
    let chain = match address {
        Some(address) => snapshot.accept(Some(address), port, sni, transport),
        None => {
            let owner = snapshot.find_known(host, None, port);
            let own = snapshot.chains_of(host, port);
            let known = owner.is_some() || !own.is_empty() || !sni.is_empty();
            let target = owner.and_then(|owner| first_address(owner.service));
            choose(own.iter().filter_map(Claim::chain), target, sni, transport)
                .or_else(|| if known { snapshot.accept(target, port, sni, transport) } else { None })
        }
    };
    match chain {
        Some(chain) => taken(snapshot, begun, chain),
        None => unknown(snapshot, host, begun, true),
    }
}

/// The address a client of the service would dial.
fn first_address<A: Attach>(service: &Service<A>) -> Option<IpAddr> {
    let text = service.given.addresses.first()?;
    ip_of(text.split_once('/').map_or(text.as_str(), |(address, _)| address))
}

/// The outbound policy. `opaque`: what comes is no HTTP, or not seen as such.
fn unknown<A: Attach>(snapshot: &View<A>, host: &str, mut begun: Begun, opaque: bool) -> Decision<A> {
    let known = |text: String| !text.is_empty();
    if snapshot.outbound != Outbound::Gateway && !snapshot.name_at(host, begun.port).is_some_and(known) {
        begun.notes.undeclared = !snapshot.ports_of(host).is_empty();
    }
    let kind = match &snapshot.outbound {
        Outbound::Gateway => Kind::NotFound,
        Outbound::RegistryOnly => Kind::Refused,
        Outbound::AllowAnyDynamicDns => {
            begun.notes.by_name = !opaque;
            Kind::Passthrough
        }
        Outbound::AllowAny { egress_cluster } if egress_cluster.is_empty() => Kind::Passthrough,
        Outbound::AllowAny { egress_cluster } => {
            begun.notes.egress = true;
            if snapshot.cluster(egress_cluster).is_some() { Kind::Forward } else { Kind::NoCluster }
        }
    };
    decided(snapshot, begun, kind, Matched::Nothing, None, None)
}
