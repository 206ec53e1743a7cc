//! Where a connection goes.

mod units;

use roadstead_core::decision::Kind;
use roadstead_core::model::{Protocol, Transport};
use roadstead_core::request::PlainRequest;
use units::{chain, cluster, engine, service, unit};

#[test]
fn names_select_their_service_and_addresses_the_listener() {
    let mut tcp = unit("db.com");
    tcp.services = vec![service("db.com", &["240.0.0.1"], &[(3306, Protocol::Tcp)])];
    tcp.clusters = vec![cluster("db")];
    tcp.chains = vec![chain("db.com", 3306, &["240.0.0.1"], &[], Transport::Any, "db")];
    let mut tls = unit("*.tls.com");
    tls.services = vec![service("*.tls.com", &[], &[(443, Protocol::Tls)])];
    tls.clusters = vec![cluster("tls")];
    tls.chains = vec![chain("*.tls.com", 443, &[], &["*.tls.com"], Transport::Tls, "tls")];
    let engine = engine(vec![tcp, tls]);
    for (host, port, sni, kind, name) in [
        ("db.com", 3306, None, Kind::Forward, "db"),
        ("DB.com.", 3306, None, Kind::Forward, "db"),
        ("240.0.0.1", 3306, None, Kind::Forward, "db"),
        ("240.0.0.2", 3306, None, Kind::Passthrough, "PassthroughCluster"),
        ("db.com", 3307, None, Kind::Passthrough, "PassthroughCluster"),
        ("x.tls.com", 443, None, Kind::Forward, "tls"),
        ("1.2.3.4", 443, Some("X.tls.com"), Kind::Forward, "tls"),
        ("1.2.3.4", 443, Some("tls.com"), Kind::Passthrough, "PassthroughCluster"),
        ("1.2.3.4", 443, None, Kind::Passthrough, "PassthroughCluster"),
    ] {
        let decision = engine.connect(&PlainRequest::connection(host), port, sni, 0);
        assert_eq!((decision.kind, decision.cluster_name()), (kind, name), "{host} {port} {sni:?}");
        assert!(decision.is_connection());
    }
}
