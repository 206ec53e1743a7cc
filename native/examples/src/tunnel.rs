//! CONNECT: bytes both ways, by the rules of connections.

use std::convert::Infallible;
use std::io::ErrorKind;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::HeaderMap;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use roadstead::Loaded;
use roadstead_core::choose::{Unchosen, Wish};
use roadstead_core::decision::{Decision, Kind};
use roadstead_core::lease::Lease;
use roadstead_core::overlay::{LeaseKind, Outcome};
use tokio::io::copy_bidirectional;
use tokio::sync::mpsc;

use crate::Engine;
use crate::asked::Asked;
use crate::body::{Answer, Refused, whole};
use crate::connect::{self, facts};

/// A connection that counts until it is dropped.
struct Held {
    engine: Engine,
    cluster: Arc<str>,
    lease: Lease<Loaded>,
}

impl Held {
    fn end(&self, outcome: Outcome) {
        if let Some(hits) = self.lease.end(outcome).filter(|hits| hits.any()) {
            let draw = &mut || self.engine.draws.draw();
            self.engine.core.eject(&self.cluster, self.lease.slot(), hits, self.engine.core.now(), draw);
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.end(Outcome::Dropped);
    }
}

pub async fn open(
    engine: &Engine,
    request: Request<Incoming>,
    peer: &str,
    open: mpsc::Sender<Infallible>,
) -> Result<Response<Answer>, Refused> {
    let authority = request.uri().authority().cloned();
    let authority = authority.ok_or_else(|| Refused::new(400, "", "CONNECT without a host"))?;
    let port = authority.port_u16().ok_or_else(|| Refused::new(400, "", "CONNECT without a port"))?;
    let host = authority.host().trim_matches(['[', ']']).to_owned();
    // Whoever asks for port 443 speaks TLS, with the name that is asked for.
    let name = (port == 443).then(|| host.clone());
    let asked = Asked {
        host,
        port,
        path: String::new(),
        method: request.method().clone(),
        peer: peer.to_owned(),
        headers: HeaderMap::new(),
    };
    let decision = engine.core.connect(&asked, port, name.as_deref(), engine.draws.draw());
    let (held, mut upstream) = connected(engine, &decision, &asked).await?;
    tokio::spawn(async move {
        let outcome = match hyper::upgrade::on(request).await {
            Ok(client) => match copy_bidirectional(&mut TokioIo::new(client), &mut upstream).await {
                Ok(_) => Outcome::Success,
                Err(error) if error.kind() == ErrorKind::ConnectionReset => Outcome::Reset,
                Err(_) => Outcome::Dropped,
            },
            Err(_) => Outcome::Dropped,
        };
        held.end(outcome);
        drop(open);
    });
    Ok(Response::new(whole("")))
}

async fn connected(
    engine: &Engine,
    decision: &Decision<Loaded>,
    asked: &Asked,
) -> Result<(Held, connect::Connection), Refused> {
    if !matches!(decision.kind, Kind::Forward | Kind::Passthrough) {
        let status = decision.status();
        return Err(Refused::new(status, decision.flags(), decision.reasons(asked).join(", ")));
    }
    let now = || engine.core.now();
    let chosen = decision.choose(asked, &mut 0, Wish::default(), now).map_err(|unchosen| match unchosen {
        Unchosen::Nowhere => Refused::new(503, "NC", "no cluster"),
        Unchosen::NoneHealthy => Refused::new(503, "UH", "no healthy upstream"),
    })?;
    let cluster = decision.cluster().ok_or_else(|| Refused::new(503, "NC", "no cluster"))?;
    let lease = Lease::take(Arc::clone(cluster.live.wake()), chosen.slot(), LeaseKind::Connection, &now)
        .map_err(|limit| Refused::new(503, "UO", format!("upstream overflow: {}", limit.limit())))?;
    let held = Held { engine: Arc::clone(engine), cluster: Arc::clone(&cluster.name), lease };
    match connect::to(chosen.target(), &facts(cluster), &asked.host).await {
        Ok(upstream) => {
            let _ = held.lease.ready(&now);
            Ok((held, upstream))
        }
        Err(error) => {
            held.end(Outcome::ConnectFailure);
            Err(Refused::new(503, "UF", format!("upstream connect error: {error}")))
        }
    }
}
