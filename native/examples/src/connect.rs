//! Connections to endpoints: TCP, unix sockets, TLS where the mesh originates it.

use std::io::{Error, ErrorKind, Result};
use std::time::Duration;

use roadstead::Loaded;
use roadstead::embed::{Embed as _, Upstream};
use roadstead_core::cluster::Cluster;
use roadstead_core::model::EndpointKind;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use crate::tls;

/// Where no cluster says anything else (Envoy: connect_timeout).
const CONNECT_TIMEOUT: f64 = 10.0;

pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

pub type Connection = Box<dyn Stream>;

/// What a cluster says of its connections.
pub fn facts(cluster: &Cluster<Loaded>) -> Upstream {
    let known = cluster.handle.as_ref().and_then(Loaded::upstream);
    known.map_or_else(Upstream::default, |facts| Upstream::clone(&facts))
}

/// An endpoint's connection. `authority`: as it is sent upstream, for server names that follow it. A connection that takes too
/// long ends with `TimedOut`.
pub async fn to(target: (&str, u16, EndpointKind), facts: &Upstream, authority: &str) -> Result<Connection> {
    let limit = facts.connect_timeout.filter(|limit| *limit > 0.0).unwrap_or(CONNECT_TIMEOUT);
    let connecting = async {
        let (address, port, kind) = target;
        let stream: Connection = match kind {
            EndpointKind::Unix => Box::new(UnixStream::connect(address).await?),
            EndpointKind::Ip | EndpointKind::Hostname => {
                let stream = TcpStream::connect((address, port)).await?;
                stream.set_nodelay(true)?;
                Box::new(stream)
            }
        };
        match &facts.tls {
            None => Ok(stream),
            // Mutual TLS where the endpoint has a sidecar: those of a mesh's outside have none.
            Some(tls) if &*tls.mode == "AUTO" => Ok(stream),
            Some(given) => tls::over(stream, given, authority).await,
        }
    };
    timeout(Duration::from_secs_f64(limit), connecting).await.unwrap_or_else(|_| Err(Error::from(ErrorKind::TimedOut)))
}
