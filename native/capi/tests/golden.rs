//! The golden corpus (tests/core/golden) through the core itself: snapshots as they are loaded, questions as Rust asks them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use roadstead::embed::Shared;
use roadstead::{Loaded, Options, load};
use roadstead_core::choose::{Chosen, HashBy, Unchosen, Wish};
use roadstead_core::decision::{Decision, Kind};
use roadstead_core::exchange::retry::Reset;
use roadstead_core::exchange::tries::{Acting, Tries};
use roadstead_core::exchange::{Asked, Exchange, Step};
use roadstead_core::formats::Told;
use roadstead_core::lease::Lease;
use roadstead_core::model::{Health, OpKind};
use roadstead_core::outliers::http_status;
use roadstead_core::overlay::{LeaseKind, Outcome};
use roadstead_core::request::PlainRequest;
use roadstead_core::rewrite::Operation;
use roadstead_core::routing;
use serde_json::{Map, Value, json};

const PICKS: usize = 8;

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/core/golden");
    let files = std::fs::read_dir(folder).expect("the corpus is there").map(|file| file.expect("a file").path());
    let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|end| end == "json")).collect();
    files.sort();
    files
}

#[test]
fn every_answer_is_the_recorded_one() {
    let files = files();
    assert!(files.len() >= 10, "{files:?}");
    for path in files {
        let file: Value = serde_json::from_slice(&std::fs::read(&path).expect("readable")).expect("JSON");
        let snapshot = json!({"format": 1, "outbound": file["outbound"], "units": file["units"]});
        let options = Options { seed: file["seed"].as_u64(), clock: Some(Arc::new(|| 0)) };
        let engine = load(snapshot.to_string().as_bytes(), options).expect("a snapshot");
        for case in file["cases"].as_array().expect("cases") {
            let told = answer(&engine, &case["asked"]);
            assert_eq!(told, case["answer"], "{}: {}", path.display(), case["asked"]);
        }
    }
}

fn text<'v>(given: &'v Value, name: &str) -> Option<&'v str> {
    given[name].as_str()
}

fn port(given: &Value) -> Option<u16> {
    given["port"].as_u64().map(|port| port as u16)
}

fn lines(given: &Value) -> Vec<(&str, &str)> {
    fn line<'v>(name: &'v str, value: &'v Value) -> (&'v str, &'v str) {
        (name, value.as_str().expect("text"))
    }
    match &given["headers"] {
        Value::Object(pairs) => pairs.iter().map(|(name, value)| line(name, value)).collect(),
        Value::Array(pairs) => pairs.iter().map(|pair| line(pair[0].as_str().expect("text"), &pair[1])).collect(),
        _ => Vec::new(),
    }
}

fn answer(engine: &Shared<Loaded>, asked: &Value) -> Value {
    let (verb, given) = asked.as_object().and_then(|asked| asked.iter().next()).expect("one verb");
    match verb.as_str() {
        "find" => {
            let snapshot = engine.core.snapshot();
            let found = snapshot.find(given[0].as_str().expect("a host"), given[1].as_u64().expect("a port") as u16);
            found.map_or(Value::Null, |found| json!(&*found.service.given.host))
        }
        "exchange" => {
            routed(engine, &given["route"], None, |decision, request| carried(engine, decision, request, given))
        }
        "ejections" => ejected(engine, given),
        "route" => {
            routed(engine, given, None, |decision, request| decided(engine, decision, request, request.original))
        }
        "connect" => {
            let host = text(given, "host").expect("a host");
            let request = PlainRequest { source_ip: text(given, "source_ip"), ..PlainRequest::connection(host) };
            let draw = given["draw"].as_u64().expect("a draw");
            let decision = engine.core.connect(&request, port(given).expect("a port"), text(given, "sni"), draw);
            decided(engine, &decision, &request, None)
        }
        other => panic!("the corpus asks {other}"),
    }
}

/// What is made of a decision, while its request is there. draw: in place of that of the question.
fn routed<T>(
    engine: &Shared<Loaded>,
    given: &Value,
    draw: Option<u64>,
    read: impl FnOnce(&Decision<Loaded>, &Captured<'_>) -> T,
) -> T {
    let headers = lines(given);
    let view = engine.core.load();
    let path = view.normal_path(text(given, "path").unwrap_or("/"));
    let plain = PlainRequest {
        host: text(given, "host").expect("a host"),
        path: &path,
        method: text(given, "method").unwrap_or("GET"),
        scheme: text(given, "scheme"),
        source_ip: text(given, "source_ip"),
        headers: &headers,
    };
    let original = given["original_destination"].as_array();
    let original =
        original.map(|pair| (pair[0].as_str().expect("an address"), pair[1].as_u64().expect("a port") as u16));
    let request = Captured { plain, original };
    let draw = draw.or(given["draw"].as_u64()).unwrap_or_else(|| engine.draws.draw());
    let decision = routing::route(&view, &request, port(given), draw);
    read(&decision, &request)
}

/// A request that may have been on its way to an address.
struct Captured<'a> {
    plain: PlainRequest<'a>,
    original: Option<(&'a str, u16)>,
}

type Asking<'a> = dyn roadstead_core::request::Request<Loaded> + 'a;

impl roadstead_core::request::Request<Loaded> for Captured<'_> {
    fn host(&self) -> &str {
        self.plain.host
    }

    fn path(&self) -> &str {
        self.plain.path
    }

    fn method(&self) -> &str {
        self.plain.method
    }

    fn scheme(&self) -> Option<&str> {
        self.plain.scheme
    }

    fn source_ip(&self) -> Option<&str> {
        self.plain.source_ip
    }

    fn dialled(&self) -> Option<(std::net::IpAddr, u16)> {
        self.original.map(|(host, port)| (host.parse().expect("an address"), port))
    }

    fn lines(&self, name: &roadstead_core::request::HeaderName<Loaded>, visit: &mut dyn FnMut(&[u8]) -> bool) {
        roadstead_core::request::Request::<Loaded>::lines(&self.plain, name, visit);
    }
}

fn latin(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

fn operations(given: Vec<Operation<'_>>) -> Value {
    let word = |kind| match kind {
        OpKind::Set => "set",
        OpKind::Add => "add",
        OpKind::Remove => "remove",
        OpKind::AddIfAbsent => "add_if_absent",
    };
    given.iter().map(|op| json!([word(op.kind), op.name, op.value])).collect()
}

fn where_to(chosen: &Chosen<Loaded>) -> String {
    let (address, port, _) = chosen.target();
    format!("{address}:{port}")
}

fn decided(
    engine: &Shared<Loaded>,
    decision: &Decision<Loaded>,
    request: &Asking<'_>,
    original: Option<(&str, u16)>,
) -> Value {
    let mut picks = 0;
    let mut pick = || {
        let wish = Wish { original, ..Wish::default() };
        match decision.choose(request, &mut picks, wish, || engine.core.now()) {
            Ok(chosen) => where_to(&chosen),
            Err(Unchosen::NoneHealthy | Unchosen::Nowhere) => "NoHealthyEndpoint".to_owned(),
        }
    };
    let picked = matches!(decision.kind, Kind::Forward | Kind::Passthrough | Kind::Refused);
    let picks: Vec<String> = if picked { (0..PICKS).map(|_| pick()).collect() } else { Vec::new() };
    json!({
        "kind": decision.kind.word(),
        "status": decision.status(),
        "flags": decision.flags(),
        "service": decision.service(request).map(|service| service.given.host.to_string()),
        "cluster": decision.cluster_name(),
        "route": decision.route_index().map_or(-1, i64::from),
        "destination": decision.destination.map_or(-1, i64::from),
        "path": decision.rewritten_path(request).unwrap_or_else(|| request.path().to_owned()),
        "authority": decision.authority(request),
        "request_headers": operations(decision.request_ops(request)),
        "response_headers": operations(decision.response_ops(request, &Told::status(decision.status()))),
        "redirect": decision.redirect(request),
        "direct_response": decision.direct_response().map(|(status, body)| (status, latin(body))),
        "fault": decision.fault(),
        "mirrors": decision.mirrors().collect::<Vec<_>>(),
        "set_cookies": decision.set_cookies(request),
        "hash": decision.hash(request).map(|hash| format!("{hash:016x}")),
        "application_tls": decision.scheme.text::<Loaded, _>(request) == "https",
        "reasons": decision.reasons(request),
        "picks": picks,
    })
}

/// A step as the corpus writes it: its class, its fields.
fn stepped(decision: &Decision<Loaded>, exchange: &Exchange, tries: &Tries<Loaded>) -> Value {
    let flags = exchange.flags();
    match exchange.step() {
        Step::Delay { until } => json!(["Delay", until]),
        Step::Try { number, deadline, headers } => {
            let known = |name: &&str| *number == 1 && decision.snapshot.cluster(name).is_some();
            let mirrors: Vec<&str> = decision.mirrors().filter(known).collect();
            let endpoint = tries.endpoint().map(where_to);
            json!(["Try", endpoint, number, deadline, headers, mirrors])
        }
        Step::Forward { status, deadline } => json!(["Forward", status, flags, deadline]),
        Step::Respond(reply) => {
            json!(["Respond", reply.status, reply.headers, latin(&reply.body), flags, reply.details])
        }
        Step::Done { status, details, reset } => json!(["Done", status, flags, details, reset]),
    }
}

fn carried(engine: &Shared<Loaded>, decision: &Decision<Loaded>, request: &Captured<'_>, given: &Value) -> Value {
    let term = |name: &str, default: bool| given["terms"][name].as_bool().unwrap_or(default);
    let asked = Asked {
        trusted: term("trusted", false),
        replayable: term("replayable", true),
        received: term("received", true),
        pending: term("pending", false),
    };
    let draw = || engine.draws.draw();
    let mut tries = Tries::new(0, HashBy::Policies);
    let (core, original) = (&engine.core, request.original);
    let mut acting = Acting { engine: core, decision, request, original, draw: &draw, tries: &mut tries };
    let headers = request.plain.headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    let mut exchange = Exchange::of(&mut acting, asked, headers, false, 0);
    let mut steps = vec![stepped(decision, &exchange, acting.tries)];
    for report in given["reports"].as_array().expect("reports") {
        let (now, value) = (report[0].as_i64().expect("an instant"), &report[2][0]);
        let whole = report[3]["end_stream"].as_bool().unwrap_or(true);
        let done = match report[1].as_str().expect("a name") {
            "received" => {
                exchange.received(now);
                Ok(())
            }
            "ready" => exchange.ready(now, &mut acting),
            "response" => {
                let given = report[2][1].as_object().into_iter().flatten();
                let lines = given.map(|(name, value)| (name.as_bytes(), value.as_str().expect("text").as_bytes()));
                let answered = exchange.answered(value.as_u64().expect("a status") as u16, lines);
                exchange.response(&answered, whole, now, &mut acting)
            }
            "ended" => exchange.ended(now, &mut acting),
            "reset" => {
                let reason = value.as_str().and_then(Reset::of).expect("a reset");
                exchange.reset(reason, true, now, &mut acting)
            }
            "expired" => exchange.expired(now, &mut acting),
            "cancel" => exchange.cancel(now, &mut acting).map_err(Into::into),
            other => panic!("the corpus reports {other}"),
        };
        done.expect("reports that fit");
        steps.push(stepped(decision, &exchange, acting.tries));
    }
    Value::Array(steps)
}

fn outcome(how: &Value) -> Outcome {
    match (how["error"].as_str(), how["grpc_status"].as_i64(), how["status"].as_u64()) {
        (Some("connect_failure"), ..) => Outcome::ConnectFailure,
        (Some("timeout"), ..) => Outcome::Timeout,
        (Some("reset"), ..) => Outcome::Reset,
        (Some(other), ..) => panic!("the corpus ends a lease with {other}"),
        (None, Some(grpc), _) => Outcome::Grpc(http_status(grpc)),
        (None, None, Some(status)) => Outcome::Status(status as u16),
        (None, None, None) => Outcome::Success,
    }
}

fn ejected(engine: &Shared<Loaded>, given: &Value) -> Value {
    let route = &given["route"];
    let cluster = routed(engine, route, None, |decision, _| Arc::clone(decision.cluster().expect("a cluster")));
    let mut told = Vec::new();
    for (number, step) in given["steps"].as_array().expect("steps").iter().enumerate() {
        let (now, how) = (step[0].as_i64().expect("an instant"), &step[2]);
        told.push(match step[1].as_str().expect("what is done") {
            "sweep" => json!(engine.core.sweep(Some(now))),
            "health" => {
                let mark = Health::CODES[how[2].as_u64().expect("a mark") as usize];
                let (address, port) = (how[0].as_str().expect("an address"), how[1].as_u64().expect("a port"));
                assert!(engine.core.set_health(&cluster.name, address, port as u16, mark).expect("a cluster"));
                Value::Null
            }
            _ => routed(engine, route, Some(number as u64), |decision, request| {
                let chosen = decision.choose(request, &mut 0, Wish::default(), || 0);
                let Ok(chosen) = chosen else { return json!("NoHealthyEndpoint") };
                let kind = LeaseKind::Request { retry: false, pending: false };
                let live = Arc::clone(cluster.live.wake());
                let lease = Lease::take(live, chosen.slot(), kind, &|| 0).expect("no limits");
                let hits = lease.end(outcome(how)).expect("it ends once");
                if hits.any() {
                    engine.core.eject(&cluster.name, lease.slot(), hits, now, &mut || engine.draws.draw());
                }
                json!(where_to(&chosen))
            }),
        });
    }
    let live = cluster.live.wake();
    let stats = live.stats().into_iter().filter(|(name, _)| name.starts_with("outlier_detection."));
    let stats: Map<String, Value> = stats.map(|(name, value)| (name.to_owned(), json!(value))).collect();
    let policy = live.outliers.as_ref().expect("outlier detection");
    let endpoints: Vec<Map<String, Value>> = live
        .state_full()
        .slots()
        .iter()
        .map(|slot| {
            let own = slot.stats().map(|(name, value)| (name.to_owned(), json!(value)));
            let detected = policy.stats(slot).map(|(name, value)| (name.to_owned(), json!(value)));
            own.into_iter().chain(detected).collect()
        })
        .collect();
    json!({"steps": told, "stats": stats, "endpoints": endpoints})
}
