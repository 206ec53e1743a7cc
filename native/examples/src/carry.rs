//! One HTTP request from its decision to its answer: what an exchange of the engine says is done here, and reported.

use std::convert::Infallible;
use std::future::{Future, pending};
use std::io::ErrorKind;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::header::{HOST, HeaderValue, SET_COOKIE};
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use roadstead::Loaded;
use roadstead_core::choose::HashBy;
use roadstead_core::decision::Decision;
use roadstead_core::exchange::retry::Reset;
use roadstead_core::exchange::tries::{Acting, Tries};
use roadstead_core::exchange::{self, Exchange, Step, Wrong};
use roadstead_core::formats::Told;
use roadstead_core::rewrite;
use tokio::sync::oneshot;
use tokio::time::{Sleep, sleep};

use crate::Engine;
use crate::asked::Asked;
use crate::body::{Answer, Failed, Payload, Refused, changed, of_connection, of_reply, whole};
use crate::connect::{self, Connection, facts};

pub async fn forward(engine: &Engine, request: Request<Incoming>, peer: String) -> Result<Response<Answer>, Refused> {
    let mut asked = Asked::of(&request, peer)?;
    asked.path = engine.core.load().normal_path(&asked.path).into_owned();
    let decision = engine.core.route(&asked, Some(asked.port), engine.draws.draw());
    let again = decision.route().is_some_and(|route| route.retry.is_some()) || decision.mirrors().next().is_some();
    let payload = Payload::of(request.into_body(), again).await;
    let payload = payload.map_err(|_| Refused::new(400, "DPE", "the request's body cannot be read"))?;
    let kept = payload.is_kept();
    let how = exchange::Asked { replayable: kept, received: kept, ..exchange::Asked::default() };
    Ok(Carried::begin(engine, decision, Arc::new(asked), how, false).run(payload).await)
}

/// A request on its way. Dropped before it is over it gives back what it holds.
struct Carried {
    engine: Engine,
    decision: Decision<Loaded>,
    asked: Arc<Asked>,
    exchange: Exchange,
    tries: Tries<Loaded>,
    is_copy: bool,
}

/// What came of a try, where the exchange lets its response through.
type Passed = Option<(Response<Incoming>, Option<oneshot::Receiver<()>>)>;

impl Carried {
    /// copy: for a mirror.
    fn begin(engine: &Engine, decision: Decision<Loaded>, asked: Arc<Asked>, how: exchange::Asked, copy: bool) -> Self {
        let mut tries = Tries::new(0, if copy { HashBy::Nothing } else { HashBy::Policies });
        let now = engine.core.now();
        let exchange = {
            let draw = || engine.draws.draw();
            let mut acting = acting(engine, &decision, &asked, &draw, &mut tries);
            Exchange::of(&mut acting, how, Asked::lines(&asked.headers), copy, now)
        };
        Carried { engine: Arc::clone(engine), decision, asked, exchange, tries, is_copy: copy }
    }

    fn report(
        &mut self,
        work: impl FnOnce(&mut Exchange, i64, &mut Acting<'_, Loaded, Asked>) -> Result<(), Wrong<Infallible>>,
    ) {
        let Carried { engine, decision, asked, exchange, tries, .. } = self;
        let draw = || engine.draws.draw();
        let now = engine.core.now();
        if let Err(Wrong::Report(message)) = work(exchange, now, &mut acting(engine, decision, asked, &draw, tries)) {
            eprintln!("egress-proxy: {message}");
        }
    }

    fn reset(&mut self, reason: Reset, sent: bool) {
        self.report(|exchange, now, acting| exchange.reset(reason, sent, now, acting));
    }

    fn expired(&mut self) {
        self.report(|exchange, now, acting| exchange.expired(now, acting));
    }

    /// When something is due of the step that there is.
    fn due(&self) -> Option<i64> {
        match self.exchange.step() {
            Step::Delay { until } => Some(*until),
            Step::Try { deadline, .. } | Step::Forward { deadline, .. } => *deadline,
            Step::Respond(_) | Step::Done { .. } => None,
        }
    }

    fn is_trying(&self, number: u32) -> bool {
        matches!(self.exchange.step(), Step::Try { number: now, .. } if *now == number)
    }

    /// Does what the steps say until there is an answer.
    async fn run(mut self, mut payload: Payload) -> Response<Answer> {
        let mut passed = None;
        loop {
            match self.exchange.step() {
                Step::Delay { .. } => {
                    until(&self.engine, self.due()).await;
                    self.expired();
                }
                Step::Try { number, .. } => {
                    let number = *number;
                    // Of a copy there are no copies, though its decision still knows the rule's.
                    if number == 1 && !self.is_copy {
                        self.mirror(&payload);
                    }
                    passed = self.attempt(&mut payload, number).await;
                }
                Step::Respond(reply) => return self.answered(of_reply(reply, &self.exchange.flags())),
                Step::Forward { .. } | Step::Done { .. } => {
                    let Some((response, sent)) = passed else {
                        return self.answered(of_reply(&Default::default(), &self.exchange.flags()));
                    };
                    return self.pass(response, sent);
                }
            }
        }
    }

    /// The rule's word on a response of any origin.
    fn answered(&self, mut response: Response<Answer>) -> Response<Answer> {
        let (status, given) = (response.status().as_u16(), response.headers().clone());
        let header = |name: &str| given.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        let told = Told { status, header: &header };
        let headers = response.headers_mut();
        of_connection(headers);
        let operations = self.decision.response_ops(&*self.asked, &told);
        *headers = changed(headers, |lines| rewrite::apply(operations, lines));
        for cookie in self.decision.set_cookies(&*self.asked) {
            if let Ok(cookie) = HeaderValue::from_str(&cookie) {
                headers.append(SET_COOKIE, cookie);
            }
        }
        response
    }

    fn pass(self, response: Response<Incoming>, sent: Option<oneshot::Receiver<()>>) -> Response<Answer> {
        let (parts, body) = response.into_parts();
        let mut response = self.answered(Response::from_parts(parts, whole("")));
        if !self.exchange.is_over() {
            *response.body_mut() = Passing { body, sent, timer: None, carried: self }.boxed_unsync();
        }
        response
    }

    /// The copies of a request whose body is kept; what becomes of them is nobody's business.
    fn mirror(&self, payload: &Payload) {
        let Payload::Kept(bytes) = payload else { return };
        for copy in self.decision.mirrors().filter_map(|name| self.decision.to_cluster(name)) {
            let how = exchange::Asked { replayable: false, ..exchange::Asked::default() };
            let copy = Carried::begin(&self.engine, copy, Arc::clone(&self.asked), how, true);
            let bytes = bytes.clone();
            tokio::spawn(async move { drop(copy.run(Payload::Kept(bytes)).await.into_body().collect().await) });
        }
    }

    /// One try, from the connection to the response's head.
    async fn attempt(&mut self, payload: &mut Payload, number: u32) -> Passed {
        let connection = self.connected(number).await?;
        let Ok((mut sender, driven)) = hyper::client::conn::http1::handshake(TokioIo::new(connection)).await else {
            self.reset(Reset::ConnectionTermination, false);
            return None;
        };
        tokio::spawn(async move {
            // What goes wrong is told to who reads the response.
            let _ = driven.await;
        });
        let (body, mut sent) = payload.sent();
        let mut request = Request::new(body);
        if self.head(&mut request).is_none() {
            self.reset(Reset::ProtocolError, false);
            return None;
        }
        let mut answering = std::pin::pin!(sender.send_request(request));
        while self.is_trying(number) {
            tokio::select! {
                answer = &mut answering => return self.heard(answer).map(|response| (response, sent)),
                whole = told(&mut sent) => {
                    sent = None;
                    if whole {
                        self.report(|exchange, now, _| { exchange.received(now); Ok(()) });
                    }
                }
                () = until(&self.engine, self.due()) => self.expired(),
            }
        }
        None
    }

    async fn connected(&mut self, number: u32) -> Option<Connection> {
        let target = self.tries.endpoint()?.clone();
        let facts = facts(self.decision.cluster()?);
        let authority = self.decision.authority(&*self.asked).to_owned();
        let mut connecting = std::pin::pin!(connect::to(target.target(), &facts, &authority));
        while self.is_trying(number) {
            tokio::select! {
                connected = &mut connecting => match connected {
                    Ok(connection) => {
                        self.report(|exchange, now, acting| exchange.ready(now, acting));
                        return self.is_trying(number).then_some(connection);
                    }
                    Err(error) => self.reset(unreached(error.kind()), false),
                },
                () = until(&self.engine, self.due()) => self.expired(),
            }
        }
        None
    }

    /// Method, target and headers as they are sent; None for what cannot be.
    fn head<B>(&self, request: &mut Request<B>) -> Option<()> {
        let asked = &*self.asked;
        let path = self.decision.rewritten_path(asked).unwrap_or_else(|| asked.path.clone());
        *request.method_mut() = asked.method.clone();
        *request.uri_mut() = path.parse::<Uri>().ok()?;
        let mut headers = asked.headers.clone();
        of_connection(&mut headers);
        let own = self.exchange.own_ops();
        *request.headers_mut() =
            changed(&headers, |lines| self.exchange.apply(self.decision.request_ops(asked), &own, lines));
        let authority = HeaderValue::from_str(self.decision.authority(asked)).ok()?;
        request.headers_mut().insert(HOST, authority);
        Some(())
    }

    fn heard(&mut self, answer: hyper::Result<Response<Incoming>>) -> Option<Response<Incoming>> {
        let response = match answer {
            Ok(response) => response,
            Err(error) => {
                let broken = error.is_parse() || error.is_parse_too_large();
                self.reset(if broken { Reset::ProtocolError } else { Reset::ConnectionTermination }, true);
                return None;
            }
        };
        let (status, whole) = (response.status().as_u16(), response.body().is_end_stream());
        self.report(|exchange, now, acting| {
            let answered = exchange.answered(status, Asked::lines(response.headers()));
            exchange.response(&answered, whole, now, acting)
        });
        matches!(self.exchange.step(), Step::Forward { .. } | Step::Done { .. }).then_some(response)
    }
}

fn acting<'a>(
    engine: &'a Engine,
    decision: &'a Decision<Loaded>,
    request: &'a Asked,
    draw: &'a dyn Fn() -> u64,
    tries: &'a mut Tries<Loaded>,
) -> Acting<'a, Loaded, Asked> {
    Acting { engine: &engine.core, decision, request, original: None, draw, tries }
}

fn unreached(kind: ErrorKind) -> Reset {
    match kind {
        ErrorKind::TimedOut => Reset::ConnectionTimeout,
        ErrorKind::InvalidInput | ErrorKind::AddrNotAvailable => Reset::LocalConnectionFailure,
        _ => Reset::RemoteConnectionFailure,
    }
}

fn left(engine: &Engine, at: i64) -> Duration {
    Duration::from_nanos(u64::try_from(at.saturating_sub(engine.core.now())).unwrap_or(0))
}

/// Ends at an instant of the engine's clock; never without one.
async fn until(engine: &Engine, at: Option<i64>) {
    match at {
        Some(at) => sleep(left(engine, at)).await,
        None => pending().await,
    }
}

/// Whether a body was sent as a whole, once that is known.
async fn told(sent: &mut Option<oneshot::Receiver<()>>) -> bool {
    match sent {
        Some(sent) => sent.await.is_ok(),
        None => pending().await,
    }
}

/// A response's body on its way to the client.
struct Passing {
    body: Incoming,
    sent: Option<oneshot::Receiver<()>>,
    /// For the request's time limit, while there is one.
    timer: Option<Pin<Box<Sleep>>>,
    carried: Carried,
}

impl Passing {
    /// Whether the request's time is up.
    fn is_late(&mut self, cx: &mut Context<'_>) -> bool {
        if let Some(sent) = &mut self.sent
            && let Poll::Ready(whole) = Pin::new(sent).poll(cx)
        {
            self.sent = None;
            if whole.is_ok() {
                self.timer = None;
                self.carried.report(|exchange, now, _| {
                    exchange.received(now);
                    Ok(())
                });
            }
        }
        let Some(due) = self.carried.due() else { return false };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(left(&self.carried.engine, due))));
        if timer.as_mut().poll(cx).is_pending() {
            return false;
        }
        self.carried.expired();
        true
    }
}

impl Body for Passing {
    type Data = Bytes;
    type Error = Failed;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failed>>> {
        if self.is_late(cx) {
            return Poll::Ready(Some(Err("the request's time is up".into())));
        }
        let polled = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if polled.is_none() || self.body.is_end_stream() {
            self.carried.report(|exchange, now, acting| exchange.ended(now, acting));
        }
        Poll::Ready(polled.map(|frame| {
            frame.map_err(|error| {
                self.carried.reset(Reset::ConnectionTermination, true);
                error.into()
            })
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        if !self.carried.exchange.is_over() {
            self.carried.report(|exchange, now, acting| Ok(exchange.cancel(now, acting)?));
        }
    }
}
