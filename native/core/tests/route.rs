//! Where an HTTP request goes.

mod units;

use roadstead_core::decision::{Decision, Kind};
use roadstead_core::engine::Engine;
use roadstead_core::model::{Action, Fault, MatchKind, Mirror, Outbound, Plain, Protocol, Redirect};
use roadstead_core::request::PlainRequest;
use units::{cluster, engine, plain, put, route, service, unit, virtual_host};

fn get(engine: &Engine<Plain>, host: &str, port: u16, path: &str) -> Decision<Plain> {
    engine.route(&PlainRequest::get(host, path), Some(port), 0)
}

#[test]
fn the_first_rule_that_takes_the_path() {
    let count = 40;
    let mut routes: Vec<_> =
        (0..count).map(|at| route(MatchKind::Prefix, &format!("/p{at}/"), &[("a.com", 1)])).collect();
    routes.push(route(MatchKind::Exact, "/p7/x", &[("a.com", 1)]));
    routes.push(route(MatchKind::Regex, "/q[0-9]+", &[("a.com", 1)]));
    routes.push(route(MatchKind::Prefix, "/p", &[("a.com", 1)]));
    let mut made = plain("a.com", 80);
    made.virtual_hosts[0].routes = routes;
    let engine = engine(vec![made]);
    for (path, expected) in [
        ("/p0/", Some(0)),
        ("/p39/x?q=/p1/", Some(39)),
        ("/p7/x", Some(7)),
        ("/q12#f", Some(41)),
        ("/q", None),
        ("/p", Some(42)),
        ("/", None),
        ("", None),
    ] {
        let decision = get(&engine, "a.com", 80, path);
        assert_eq!(decision.route_index(), expected, "{path}");
        let kind = if expected.is_some() { Kind::Forward } else { Kind::NotFound };
        assert_eq!(decision.kind, kind, "{path}");
    }
    let decision = get(&engine, "a.com", 80, "/p1/x");
    let steps = decision.explain(&PlainRequest::get("a.com", "/p1/x"));
    assert_eq!(steps, [(0, false, "path prefix \"/p0/\"".to_owned()), (1, true, String::new())]);
}

#[test]
fn a_draw_is_spread_over_weights_mirrors_and_faults() {
    let mut made = plain("a.com", 80);
    let mut split = route(MatchKind::Prefix, "/", &[("a.com", 75), ("b", 0), ("c", 25)]);
    split.mirrors = Box::new([Mirror { cluster: "m".into(), numerator: 500_000 }]);
    split.fault = Some(Fault {
        delay: 2.0,
        delay_numerator: 300_000,
        abort_numerator: 200_000,
        abort_status: 503,
        abort_grpc_status: -1,
    });
    made.virtual_hosts[0].routes = vec![split];
    made.clusters.push(cluster("c"));
    let engine = engine(vec![made]);
    for (draw, name, mirrored, fault) in [
        (0, "a.com", false, Some((2.0, 503, -1))),
        (1, "a.com", true, None),
        (2, "a.com", false, Some((0.0, 503, -1))),
        (74, "a.com", false, Some((2.0, 503, -1))),
        (75, "c", true, Some((2.0, 0, -1))),
        (500_001, "a.com", false, None),
    ] {
        let decision = engine.route(&PlainRequest::get("a.com", "/"), Some(80), draw);
        assert_eq!(decision.cluster_name(), name, "{draw}");
        assert_eq!(decision.mirrors().count() == 1, mirrored, "{draw}");
        assert_eq!(decision.fault(), fault, "{draw}");
    }
}

#[test]
fn a_destination_follows_its_cluster_name() {
    let mut made = plain("a.com", 80);
    made.clusters.clear();
    let engine = engine(vec![made]);
    let decision = get(&engine, "a.com", 80, "/");
    assert_eq!((decision.kind, decision.status(), decision.flags()), (Kind::NoCluster, 503, "NC"));
    assert_eq!(decision.cluster_name(), "a.com");
    let mut late = unit("late");
    late.clusters = vec![cluster("a.com")];
    put(&engine, vec![late]);
    assert_eq!(get(&engine, "a.com", 80, "/").kind, Kind::Forward);
    // A decision keeps the view it was made from.
    assert_eq!(decision.kind, Kind::NoCluster);
    units::delete(&engine, "late");
    assert_eq!(get(&engine, "a.com", 80, "/").kind, Kind::NoCluster);
}

#[test]
fn redirects_and_direct_responses() {
    let mut made = plain("a.com", 80);
    let mut redirect = route(MatchKind::Prefix, "/old", &[]);
    redirect.action = Action::Redirect;
    redirect.redirect = Some(Redirect {
        scheme: "https".into(),
        host: "".into(),
        port: 0,
        path: "".into(),
        prefix_rewrite: "/new".into(),
        code: 302,
        keep_port: false,
    });
    let mut direct = route(MatchKind::Exact, "/teapot", &[]);
    direct.action = Action::DirectResponse;
    direct.direct_status = 418;
    direct.direct_body = Box::from(*b"short");
    made.virtual_hosts[0].routes = vec![redirect, direct];
    let engine = engine(vec![made]);
    let request = PlainRequest::get("a.com:80", "/old/x?q=1");
    let decision = engine.route(&request, Some(80), 0);
    assert_eq!(decision.redirect(&request), Some((302, "https://a.com/new/x?q=1".to_owned())));
    assert_eq!((decision.kind, decision.status()), (Kind::Redirect, 302));
    let decision = get(&engine, "a.com", 80, "/teapot");
    assert_eq!(decision.direct_response(), Some((418, &b"short"[..])));
    assert_eq!(decision.status(), 418);
}

#[test]
fn unknown_hosts_get_the_outbound_policy() {
    let engine = engine(vec![plain("a.com", 80)]);
    let decide = |outbound: Outbound, host: &str, port: u16| {
        let mut builder = engine.builder();
        builder.set_outbound(outbound);
        engine.publish(builder).unwrap();
        let request = PlainRequest::get(host, "/");
        let decision = engine.route(&request, Some(port), 0);
        (decision.kind, decision.cluster_name().to_owned(), decision.reasons(&request).join(" "))
    };
    let allow = |egress: &str| Outbound::AllowAny { egress_cluster: egress.to_owned() };
    for (outbound, host, port, kind, name, reasons) in [
        (allow(""), "b.com", 80, Kind::Passthrough, "PassthroughCluster", "host:unknown policy:allow_any"),
        (
            allow(""),
            "a.com",
            81,
            Kind::Passthrough,
            "PassthroughCluster",
            "host:exact port:undeclared:80 policy:allow_any",
        ),
        (allow("a.com"), "b.com", 80, Kind::Forward, "a.com", "host:unknown policy:allow_any"),
        (allow("none"), "b.com", 80, Kind::NoCluster, "none", "host:unknown policy:allow_any cluster:missing"),
        (Outbound::RegistryOnly, "b.com", 80, Kind::Refused, "BlackHoleCluster", "host:unknown policy:registry_only"),
        (Outbound::Gateway, "b.com", 80, Kind::NotFound, "", "host:unknown"),
    ] {
        assert_eq!(
            decide(outbound.clone(), host, port),
            (kind, name.to_owned(), reasons.to_owned()),
            "{outbound:?} {host}"
        );
    }
}

#[test]
fn schemes_and_ports_that_do_not_fit() {
    let mut made = plain("a.com", 80);
    made.services = vec![service("a.com", &[], &[(80, Protocol::Http), (443, Protocol::Tls)])];
    made.virtual_hosts.push(virtual_host(443, &["a.com"], vec![route(MatchKind::Prefix, "/tls", &[("a.com", 1)])]));
    made.virtual_hosts[1].tls = true;
    let engine = engine(vec![made]);
    for (scheme, port, path, kind, reasons) in [
        (None, None, "/", Kind::Forward, "host:exact port:default:80 route:0"),
        (Some("https"), None, "/tls", Kind::Forward, "host:exact port:default:443 route:0"),
        (None, Some(443), "/tls", Kind::Forward, "host:exact route:0"),
        (None, Some(443), "/", Kind::NotFound, "host:exact route:none"),
        (Some("https"), Some(80), "/", Kind::Passthrough, "host:exact sniff:tls-on-http policy:allow_any"),
        (Some("http"), Some(443), "/", Kind::Passthrough, "host:exact sniff:http-on-tls policy:allow_any"),
    ] {
        let request = PlainRequest { scheme, ..PlainRequest::get("a.com", path) };
        let decision = engine.route(&request, port, 0);
        assert_eq!(decision.reasons(&request).join(" "), reasons, "{scheme:?} {port:?} {path}");
        assert_eq!(decision.kind, kind, "{scheme:?} {port:?} {path}");
    }
}

#[test]
fn headers_are_read_only_where_rules_ask() {
    struct Counting(std::cell::Cell<u32>);
    impl roadstead_core::request::Request<Plain> for Counting {
        fn host(&self) -> &str {
            "a.com"
        }
        fn path(&self) -> &str {
            "/x"
        }
        fn method(&self) -> &str {
            "GET"
        }
        fn scheme(&self) -> Option<&str> {
            None
        }
        fn source_ip(&self) -> Option<&str> {
            None
        }
        fn lines(&self, name: &roadstead_core::request::HeaderName<Plain>, visit: &mut dyn FnMut(&[u8]) -> bool) {
            assert_eq!(&*name.text, "x-a");
            self.0.set(self.0.get() + 1);
            visit(b"v");
        }
    }
    let mut made = plain("a.com", 80);
    let header = |value: &str| {
        let mut asked = route(MatchKind::Prefix, "/x", &[("a.com", 1)]);
        asked.matcher.headers = vec![roadstead_core::model::HeaderMatch {
            name: "X-A".to_owned(),
            value: roadstead_core::model::ValueMatch {
                kind: MatchKind::Exact,
                value: value.to_owned(),
                ignore_case: false,
            },
            invert: false,
            missing_as_empty: false,
        }];
        asked
    };
    made.virtual_hosts[0].routes =
        vec![route(MatchKind::Exact, "/y", &[("a.com", 1)]), header("w"), header("v"), header("u")];
    let engine = engine(vec![made, plain("b.com", 80)]);
    let request = Counting(std::cell::Cell::new(0));
    assert_eq!(engine.route(&request, Some(80), 0).route_index(), Some(2));
    assert_eq!(request.0.get(), 2);
}
