//! What this process answers by itself, in Envoy's words (local replies).

use std::borrow::Cow;

use super::retry::Reset;
use crate::decision::{Decision, Kind};
use crate::model::Attach;
use crate::request::Request;

const TIMED_OUT: &[u8] = b"upstream request timeout";

/// An answer before it is put in the words of the request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    pub flag: &'static str,
    pub details: Cow<'static, str>,
    pub body: Vec<u8>,
    pub headers: Vec<(&'static str, String)>,
    /// None: follows from the status.
    pub grpc_status: Option<i32>,
}

impl Reply {
    fn plain(status: u16, flag: &'static str, details: &'static str, body: &[u8]) -> Reply {
        Reply { status, flag, details: Cow::Borrowed(details), body: body.to_vec(), ..Reply::default() }
    }

    pub fn none_healthy() -> Reply {
        Reply::plain(503, "UH", "no_healthy_upstream", b"no healthy upstream")
    }

    /// `alternative`: 204 was asked for in place of 504.
    pub fn timed_out(details: &'static str, alternative: bool) -> Reply {
        if alternative { Reply::plain(204, "", details, b"") } else { Reply::plain(504, "", details, TIMED_OUT) }
    }

    /// The answer to a try that broke before its response.
    pub fn of_reset(reason: Reset, again: bool) -> Reply {
        let retried = if again { "retried and the latest " } else { "" };
        let words = reason.word().replace('_', " ");
        let body = format!("upstream connect error or disconnect/reset before headers. {retried}reset reason: {words}");
        let headers =
            if reason == Reset::Overflow { vec![("x-envoy-overloaded", "true".to_owned())] } else { Vec::new() };
        Reply {
            status: if reason == Reset::ProtocolError { 502 } else { 503 },
            details: format!("upstream_reset_before_response_started{{{}}}", reason.word()).into(),
            body: body.into_bytes(),
            headers,
            ..Reply::default()
        }
    }

    /// The answer of a fault (`faults`) or of the decision itself; None where the request is sent on.
    pub fn own<A: Attach, R: Request<A> + ?Sized>(decision: &Decision<A>, request: &R, faults: bool) -> Option<Reply> {
        if let Some((_, status, grpc)) =
            decision.fault().filter(|(_, status, grpc)| faults && (*status > 0 || *grpc >= 0))
        {
            let status = if grpc < 0 { status } else { 200 };
            let grpc_status = Some(grpc).filter(|grpc| *grpc >= 0);
            return Some(Reply {
                grpc_status,
                ..Reply::plain(status, "FI", "fault_filter_abort", b"fault filter abort")
            });
        }
        let details = match decision.kind {
            Kind::Forward | Kind::Passthrough => return None,
            Kind::NotFound => "route_not_found",
            Kind::NoCluster => "cluster_not_found",
            Kind::DirectResponse if decision.notes.preflight => "cors_response",
            Kind::Redirect | Kind::DirectResponse | Kind::Refused => "direct_response",
        };
        let body = decision.direct_response().map_or(&[][..], |(_, body)| body);
        let location = decision.redirect(request).map(|(_, location)| ("location", location));
        Some(Reply {
            headers: location.into_iter().collect(),
            ..Reply::plain(decision.status(), decision.flags(), details, body)
        })
    }

    /// A gRPC request is answered by trailers only.
    pub fn worded(mut self, grpc: bool) -> Reply {
        if grpc {
            let code = self.grpc_status.unwrap_or_else(|| as_grpc(self.status));
            self.headers.extend([("content-type", "application/grpc".to_owned()), ("grpc-status", code.to_string())]);
            if !self.body.is_empty() {
                self.headers.push(("grpc-message", percent(&self.body)));
            }
            self.status = 200;
            self.body = Vec::new();
        } else if !self.body.is_empty() {
            self.headers.push(("content-type", "text/plain".to_owned()));
        }
        self
    }
}

/// Grpc::Utility::httpToGrpcStatus.
fn as_grpc(status: u16) -> i32 {
    match status {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502..=504 => 14,
        _ => 2,
    }
}

/// As grpc-message is written.
fn percent(body: &[u8]) -> String {
    let mut text = String::with_capacity(body.len());
    for byte in body {
        match byte {
            0x20..0x7e if *byte != b'%' => text.push(char::from(*byte)),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}
