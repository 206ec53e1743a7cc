//! Units put as columns: they answer as units do, and threads that make the same part get the same.

mod units;

use std::sync::Arc;
use std::thread;

use roadstead_core::columns::HostColumn;
use roadstead_core::decision::Kind;
use roadstead_core::engine::Engine;
use roadstead_core::model::Plain;
use roadstead_core::request::PlainRequest;
use roadstead_core::template::Template;
use units::{engine, plain, put};

const HOST: &str = "\x010\x02";
const COUNT: usize = 5_000;

fn host(at: usize) -> String {
    format!("h{at}.com")
}

fn shelved() -> Engine<Plain> {
    let engine = engine(vec![]);
    let template = Arc::new(Template::new(plain(HOST, 80)).unwrap());
    let hosts: HostColumn = (0..COUNT).map(host).collect();
    let mut builder = engine.builder();
    builder.put_rows(&template, &[&hosts], Arc::new(())).unwrap();
    engine.publish(builder).unwrap();
    engine
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
