//! An egress proxy (HTTP/1.1) that asks the engine where each request goes:
//!
//! ```text
//! roadstead snapshot -f mesh/ -o mesh.snapshot
//! egress-proxy mesh.snapshot 127.0.0.1:3128
//! curl -x 127.0.0.1:3128 http://httpbin.org/get
//! ```
//!
//! Requests in absolute form (or with a Host alone) go by the HTTP rules: an exchange of the engine says when to try, how long to
//! wait and what to answer (`carry`). CONNECT goes by the rules of connections (`tunnel`). TLS is originated where the mesh says so.
//! A snapshot that is written anew is taken over within a second, a bad one is told of and ignored. On SIGTERM or SIGINT nothing
//! more is accepted, and what is under way may end (`GRACE`).
//!
//! What it leaves out, to be short: connections upstream are not kept, HTTP/2 is not spoken, mutual TLS of the mesh itself
//! (ISTIO_MUTUAL) has no certificates here.
#![forbid(unsafe_code)]

mod asked;
mod body;
mod carry;
mod connect;
mod tls;
mod tunnel;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use roadstead::embed::{Embed, Shared};
use roadstead::{Loaded, Options, load};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use body::{Answer, own};

/// What everything here asks.
pub type Engine = Arc<Shared<Loaded>>;

/// How long what is under way may take to end.
const GRACE: Duration = Duration::from_secs(30);
/// How often the snapshot's file is looked at.
const LOOK: Duration = Duration::from_millis(500);
const USAGE: u8 = 64;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [snapshot, address] = arguments.as_slice() else {
        eprintln!("usage: egress-proxy SNAPSHOT ADDRESS:PORT");
        return ExitCode::from(USAGE);
    };
    match serve(snapshot, address).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("egress-proxy: {message}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(snapshot: &str, address: &str) -> Result<(), String> {
    // Before it is read, so that what is written meanwhile is seen.
    let seen = stamp(snapshot);
    let bytes = std::fs::read(snapshot).map_err(|error| format!("{snapshot}: {error}"))?;
    let engine = load(&bytes, Options::default()).map_err(|error| format!("{snapshot}: {}", error.message))?;
    let engine = Arc::new(engine);
    let listener = TcpListener::bind(address).await.map_err(|error| format!("{address}: {error}"))?;
    println!("{}", listener.local_addr().map_err(|error| error.to_string())?);
    tokio::spawn(keep_current(Arc::clone(&engine), snapshot.to_owned(), seen));
    tokio::spawn(bring_back(Arc::clone(&engine)));

    let (mut term, mut int) = (stop_on(SignalKind::terminate())?, stop_on(SignalKind::interrupt())?);
    let (stop, stopping) = watch::channel(());
    // Each connection and tunnel holds one end: the other is closed when the last of them is over.
    let (open, mut ended) = mpsc::channel::<Infallible>(1);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = term.recv() => break,
            _ = int.recv() => break,
        };
        match accepted {
            Ok((stream, peer)) => accept(&engine, stopping.clone(), open.clone(), stream, peer),
            Err(error) => {
                // Out of descriptors, mostly: others will be closed.
                eprintln!("egress-proxy: {error}");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop((listener, open, stop));
    eprintln!("egress-proxy: nothing more is accepted");
    let ended = tokio::time::timeout(GRACE, ended.recv()).await;
    ended.map(drop).map_err(|_| "some connections did not end in time".to_owned())
}

fn stop_on(kind: SignalKind) -> Result<tokio::signal::unix::Signal, String> {
    signal(kind).map_err(|error| error.to_string())
}

fn accept(
    engine: &Engine,
    mut stopping: watch::Receiver<()>,
    open: mpsc::Sender<Infallible>,
    stream: TcpStream,
    peer: SocketAddr,
) {
    let (engine, held) = (Arc::clone(engine), open.clone());
    let answer = move |request| {
        let (engine, open) = (Arc::clone(&engine), open.clone());
        async move { Ok::<_, Infallible>(answer(engine, request, peer.ip().to_string(), open).await) }
    };
    let connection = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service_fn(answer))
        .with_upgrades();
    tokio::spawn(async move {
        let mut connection = std::pin::pin!(connection);
        // A client that goes away is no news.
        tokio::select! {
            _ = connection.as_mut() => {}
            _ = stopping.changed() => {
                connection.as_mut().graceful_shutdown();
                let _ = connection.await;
            }
        }
        drop(held);
    });
}

async fn answer(
    engine: Engine,
    request: Request<Incoming>,
    peer: String,
    open: mpsc::Sender<Infallible>,
) -> Response<Answer> {
    let done = if request.method() == Method::CONNECT {
        tunnel::open(&engine, request, &peer, open).await
    } else {
        carry::forward(&engine, request, peer).await
    };
    done.unwrap_or_else(|refused| own(refused.status, refused.flags, refused.text))
}

/// What tells one writing of a file from another.
fn stamp(path: &str) -> Option<(std::time::SystemTime, u64)> {
    let facts = std::fs::metadata(path).ok()?;
    Some((facts.modified().ok()?, facts.len()))
}

/// Publishes the snapshot again whenever its file is written.
async fn keep_current(engine: Engine, path: String, mut seen: Option<(std::time::SystemTime, u64)>) {
    loop {
        sleep(LOOK).await;
        let now = stamp(&path);
        if now.is_none() || now == seen {
            continue;
        }
        seen = now;
        let published = match tokio::fs::read(&path).await {
            Ok(bytes) => Loaded::reload(&engine, &bytes).map_err(|failure| failure.message.into_owned()),
            Err(error) => Err(error.to_string()),
        };
        match published {
            Ok(()) => eprintln!("egress-proxy: {path}: version {}", engine.core.version()),
            Err(message) => eprintln!("egress-proxy: {path} is not taken over: {message}"),
        }
    }
}

/// Does the ticks of outlier detection.
async fn bring_back(engine: Engine) {
    const LONGEST: Duration = Duration::from_secs(1);
    loop {
        let next = engine.core.sweep(None).and_then(|wait| u64::try_from(wait).ok()).map(Duration::from_nanos);
        sleep(next.map_or(LONGEST, |next| next.min(LONGEST))).await;
    }
}
