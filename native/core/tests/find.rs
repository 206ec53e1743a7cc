//! Which service owns (host, port).

mod units;

use roadstead_core::columns::HostColumn;
use roadstead_core::engine::Engine;
use roadstead_core::model::{Outbound, Plain, Protocol};
use units::{engine, put, service, unit};

fn found(engine: &Engine<Plain>, host: &str, port: u16) -> String {
    engine.load().find(host, port).map(|found| found.service.given.host.to_string()).unwrap_or_default()
}

fn serving(hosts: &[(&str, &[&str])]) -> Engine<Plain> {
    let unit_of = |(host, addresses): &(&str, &[&str])| {
        let mut made = unit(host);
        made.services = vec![service(host, addresses, &[(80, Protocol::Http)])];
        made
    };
    engine(hosts.iter().map(unit_of).collect())
}

#[test]
fn names_addresses_and_wildcards() {
    let engine = serving(&[
        ("a.com", &["10.0.0.1"]),
        ("*.a.com", &[]),
        ("*.b.a.com", &[]),
        ("*foo", &[]),
        ("api*", &[]),
        ("net", &["10.0.0.0/8", "2001:db8::/32"]),
        ("net16", &["10.1.0.0/16"]),
        ("Dot.Com.", &[]),
    ]);
    for (host, expected) in [
        ("a.com", "a.com"),
        ("A.com", "a.com"),
        ("a.com.", "a.com"),
        ("a.com:8080", "a.com"),
        ("x.a.com", "*.a.com"),
        (".a.com", ""),
        ("x.b.a.com", "*.b.a.com"),
        ("b.a.com", "*.a.com"),
        ("barfoo", "*foo"),
        ("foo", ""),
        ("apis", "api*"),
        ("api", ""),
        ("10.0.0.1", "a.com"),
        ("10.0.0.2", "net"),
        ("10.1.0.2:80", "net16"),
        ("[2001:db8::7]:80", "net"),
        ("2001:db8::7", "net"),
        ("11.0.0.1", ""),
        ("dot.com", "Dot.Com."),
        ("*.a.com", "*.a.com"),
        ("", ""),
        ("é", ""),
    ] {
        assert_eq!(found(&engine, host, 80), expected, "{host}");
        assert_eq!(found(&engine, host, 81), "", "{host} at another port");
    }
}

#[test]
fn a_wildcard_that_declares_the_port_is_found_behind_one_that_does_not() {
    let mut other = unit("*.b.com");
    other.services = vec![service("*.b.com", &[], &[(81, Protocol::Http)])];
    let engine = serving(&[("*.com", &[])]);
    put(&engine, vec![other]);
    assert_eq!(found(&engine, "x.b.com", 80), "*.com");
    assert_eq!(found(&engine, "x.b.com", 81), "*.b.com");
}

#[test]
fn the_lower_order_has_the_name_and_the_other_takes_over() {
    let claim = |key: &str, order: &str| {
        let mut made = unit(key);
        made.order = order.to_owned();
        made.services = vec![service("a.com", &[], &[(80, Protocol::Http)])];
        made.services[0].namespace = key.into();
        made
    };
    let engine = engine(vec![claim("late", "2"), claim("early", "1")]);
    let namespace = || engine.load().find("a.com", 80).map(|found| found.service.given.namespace.to_string());
    assert_eq!(namespace().as_deref(), Some("early"));
    units::delete(&engine, "early");
    assert_eq!(namespace().as_deref(), Some("late"));
    units::delete(&engine, "late");
    assert_eq!(namespace(), None);
}

#[test]
fn a_trailing_dot_counts_for_routers() {
    let engine = serving(&[("a.com", &[])]);
    let mut builder = engine.builder();
    builder.set_outbound(Outbound::Gateway);
    engine.publish(builder).unwrap();
    assert_eq!(found(&engine, "A.com", 80), "a.com");
    assert_eq!(found(&engine, "a.com.", 80), "");
}

#[test]
fn columns_agree_with_single_look_ups() {
    let engine = serving(&[("a.com", &["10.0.0.1"]), ("*.a.com", &[])]);
    let hosts = ["a.com", "A.COM:80", "x.a.com", "10.0.0.1", "none", "", "*.a.com"];
    let column: HostColumn = hosts.iter().collect();
    let mut out = [7; 7];
    engine.find_many(&column, &[80; 7], &mut out).unwrap();
    assert_eq!(out, [0, 0, 1, 0, -1, -1, 1]);
    assert!(engine.find_many(&column, &[80; 6], &mut out).is_err());
}
