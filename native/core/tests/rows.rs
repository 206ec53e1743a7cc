//! Units put as columns: they answer as units do, and threads that make the same part get the same.

mod units;

use std::sync::Arc;
use std::thread;

use roadstead_core::columns::HostColumn;
use roadstead_core::decision::Kind;
use roadstead_core::engine::Engine;
use roadstead_core::model::{Plain, Protocol, Unit};
use roadstead_core::request::PlainRequest;
use roadstead_core::template::Template;
use units::{engine, plain, put, service, unit};

const HOST: &str = "\x010\x02";
const COUNT: usize = 5_000;

fn host(at: usize) -> String {
    format!("h{at}.com")
}

fn shelved() -> Engine<Plain> {
    let engine = engine(vec![]);
    put_hosts(&engine, (0..COUNT).map(host).collect());
    engine
}

fn put_hosts(engine: &Engine<Plain>, hosts: HostColumn) {
    let template = Arc::new(Template::new(plain(HOST, 80)).unwrap());
    let mut builder = engine.builder();
    builder.put_rows(&template, &[&hosts], Arc::new(())).unwrap();
    engine.publish(builder).unwrap();
}

#[test]
fn every_row_is_found() {
    let engine = shelved();
    let snapshot = engine.snapshot();
    for at in 0..COUNT {
        let name = host(at);
        let found = snapshot.find(&name, 80).unwrap();
        assert_eq!((&*found.service.given.host, found.service.index as usize), (&*name, at));
        let decision = engine.route(&PlainRequest::get(&name, "/"), Some(80), 0);
        assert_eq!((decision.kind, &*decision.cluster().unwrap().name), (Kind::Forward, &*name));
    }
    assert!(snapshot.find("h.com", 80).is_none());
    assert!(snapshot.find("h1.com", 81).is_none());
    let names = snapshot.clusters().map(|cluster| cluster.unwrap().name.to_string());
    assert!(names.eq((0..COUNT).map(host)));
}

#[test]
fn a_row_that_something_comes_in_the_way_of_stays_what_it_was() {
    let engine = shelved();
    let before = Arc::clone(engine.snapshot().find(&host(7), 80).unwrap().service);
    let mut rival = plain(&host(7), 80);
    rival.key = "rival".to_owned();
    rival.order = "1".to_owned();
    put(&engine, vec![rival]);
    assert!(Arc::ptr_eq(engine.snapshot().find(&host(7), 80).unwrap().service, &before));
    assert_eq!(engine.snapshot().services().flatten().count(), COUNT + 1);
}

#[test]
fn threads_make_one_of_each() {
    let engine = shelved();
    let all: Vec<Vec<usize>> = thread::scope(|scope| {
        let asked = || {
            let snapshot = engine.snapshot();
            let part = |at| {
                let name = host(at);
                let found = Arc::as_ptr(snapshot.find(&name, 80).unwrap().service) as usize;
                found ^ Arc::as_ptr(snapshot.cluster(&name).unwrap()) as usize
            };
            (0..COUNT).map(part).collect()
        };
        let threads = [(); 4].map(|()| scope.spawn(asked));
        threads.map(|thread| thread.join().unwrap()).into()
    });
    assert!(all.windows(2).all(|pair| pair[0] == pair[1]));
}

/// (what is asked for, which of the three rows answers at ports 1 to 6).
const ASKED: [(&str, Option<usize>); 8] = [
    ("a.h0.com", Some(0)),
    ("A.h1.com.:80", Some(1)),
    ("deep.down.h2.com", Some(2)),
    ("h0.com", None),
    ("10.0.0.1", Some(1)),
    ("10.0.0.2:80", Some(2)),
    ("10.0.0.3", None),
    ("a.h3.com", None),
];

#[test]
fn a_row_answers_again_as_the_first_time() {
    let ports: Vec<(u16, Protocol)> = (1..=6).map(|port| (port, Protocol::Tcp)).collect();
    let (name, address) = ("*.\x010\x02", "\x011\x02");
    let template = Template::new(Unit { services: vec![service(name, &[address], &ports)], ..unit(name) }).unwrap();
    let engine = engine(vec![]);
    let columns =
        [(0..3).map(host).collect::<HostColumn>(), (0..3).map(|at| format!("10.0.0.{at}")).collect::<HostColumn>()];
    let mut builder = engine.builder();
    builder.put_rows(&Arc::new(template), &[&columns[0], &columns[1]], Arc::new(())).unwrap();
    engine.publish(builder).unwrap();
    let answers = || {
        let snapshot = engine.snapshot();
        let asked = ASKED.into_iter().flat_map(|(text, _)| (0..8).map(move |port| (text, port)));
        let found = asked.map(|(text, port)| snapshot.find(text, port).map(|found| Arc::clone(found.service)));
        found.collect::<Vec<_>>()
    };
    let first = answers();
    let wanted = ASKED.into_iter().flat_map(|(_, row)| (0..8).map(move |port| row.filter(|_| (1..=6).contains(&port))));
    assert!(first.iter().map(|found| found.as_ref().map(|found| found.index as usize)).eq(wanted));
    let again = |answers: Vec<Option<Arc<_>>>| {
        let same = |pair: (&Option<Arc<_>>, &Option<Arc<_>>)| match pair {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (one, other) => one.is_none() && other.is_none(),
        };
        answers.iter().zip(&first).all(same)
    };
    assert!(again(answers()));
    // Names that come copy the pieces of the table that they stand in.
    put_hosts(&engine, (0..COUNT).map(|at| format!("other-{at}.com")).collect());
    assert!(again(answers()));
}
