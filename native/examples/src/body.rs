//! Bodies and answers: what this process says itself, and what a request is sent with.

use std::borrow::Cow;
use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll};

use http_body_util::{BodyExt, Either, Full, combinators::UnsyncBoxBody};
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use roadstead_core::exchange::replies::Reply;
use roadstead_core::rewrite;
use tokio::sync::oneshot;

/// Bodies of this size are kept, so that the request can be sent again.
const KEPT: u64 = 64 * 1024;

pub type Failed = Box<dyn Error + Send + Sync>;
/// The body of an answer.
pub type Answer = UnsyncBoxBody<Bytes, Failed>;

pub fn whole(bytes: impl Into<Bytes>) -> Answer {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A request that goes nowhere, by this process's own word.
#[derive(Debug)]
pub struct Refused {
    pub status: u16,
    /// As in Envoy's access log.
    pub flags: &'static str,
    pub text: String,
}

impl Refused {
    pub fn new(status: u16, flags: &'static str, text: impl Into<String>) -> Self {
        Refused { status, flags, text: text.into() }
    }
}

pub fn own(status: u16, flags: &str, text: String) -> Response<Answer> {
    let mut answer = Response::new(whole(text));
    *answer.status_mut() = status_of(status);
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    told(answer.headers_mut(), flags);
    answer
}

/// An exchange's answer.
pub fn of_reply(reply: &Reply, flags: &str) -> Response<Answer> {
    let mut answer = Response::new(whole(reply.body.clone()));
    *answer.status_mut() = status_of(reply.status);
    let lines = reply
        .headers
        .iter()
        .filter_map(|(name, value)| Some((HeaderName::from_static(name), HeaderValue::from_str(value).ok()?)));
    answer.headers_mut().extend(lines);
    told(answer.headers_mut(), flags);
    answer
}

/// Envoy's flags for who reads along: a client has no access log of ours.
fn told(headers: &mut HeaderMap, flags: &str) {
    if let Ok(flags) = HeaderValue::from_str(flags)
        && !flags.is_empty()
    {
        headers.insert("x-response-flags", flags);
    }
}

fn status_of(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY)
}

/// A header line that operations are done on.
pub struct Line(pub HeaderName, pub HeaderValue);

impl rewrite::Line<'_> for Line {
    fn is(&self, name: &str) -> bool {
        self.0.as_str().eq_ignore_ascii_case(name)
    }

    fn of(name: &str, value: Cow<'_, str>) -> Self {
        // Validation lets no other names and values through.
        let name = HeaderName::try_from(name).unwrap_or(HeaderName::from_static("x-invalid"));
        Line(name, HeaderValue::from_str(&value).unwrap_or(HeaderValue::from_static("")))
    }
}

/// Headers of one connection, which end here.
pub fn of_connection(headers: &mut HeaderMap) {
    const NAMES: [&str; 8] = [
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "upgrade",
    ];
    let named: Vec<HeaderName> = headers
        .get_all("connection")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| HeaderName::try_from(name.trim()).ok())
        .collect();
    named.iter().for_each(|name| drop(headers.remove(name)));
    NAMES.iter().for_each(|name| drop(headers.remove(*name)));
}

/// Headers after what is done to their lines.
pub fn changed(headers: &HeaderMap, change: impl FnOnce(&mut Vec<Line>)) -> HeaderMap {
    let mut lines: Vec<Line> = headers.iter().map(|(name, value)| Line(name.clone(), value.clone())).collect();
    change(&mut lines);
    let mut made = HeaderMap::with_capacity(lines.len());
    for Line(name, value) in lines {
        made.append(name, value);
    }
    made
}

/// The body of a request: kept, or passed on once.
pub enum Payload {
    Kept(Bytes),
    Once(Option<Streamed>),
}

impl Payload {
    /// Keeps what is small, where somebody may want it again. A body whose length is not said is passed on as it comes.
    pub async fn of(body: Incoming, keep: bool) -> Result<Self, hyper::Error> {
        if body.is_end_stream() {
            return Ok(Payload::Kept(Bytes::new()));
        }
        let small = body.size_hint().upper().is_some_and(|size| size <= KEPT);
        if !(keep && small) {
            return Ok(Payload::Once(Some(Streamed { body, whole: None })));
        }
        Ok(Payload::Kept(body.collect().await?.to_bytes()))
    }

    pub fn is_kept(&self) -> bool {
        matches!(self, Payload::Kept(_))
    }

    /// For one try; with what tells that the body was sent as a whole.
    pub fn sent(&mut self) -> (Either<Full<Bytes>, Streamed>, Option<oneshot::Receiver<()>>) {
        match self {
            Payload::Kept(bytes) => (Either::Left(Full::new(bytes.clone())), None),
            Payload::Once(body) => match body.take() {
                None => (Either::Left(Full::default()), None),
                Some(mut body) => {
                    let (tell, told) = oneshot::channel();
                    body.whole = Some(tell);
                    (Either::Right(body), Some(told))
                }
            },
        }
    }
}

/// A body that is passed on as it comes.
pub struct Streamed {
    body: Incoming,
    whole: Option<oneshot::Sender<()>>,
}

impl Body for Streamed {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if (matches!(polled, Poll::Ready(None)) || self.body.is_end_stream())
            && let Some(whole) = self.whole.take()
        {
            let _ = whole.send(());
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
