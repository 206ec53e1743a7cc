//! Whether a try is repeated, after how long, and where (Envoy: retry_state_impl.cc, previous_priorities.cc).

use std::collections::BTreeSet;
use std::ops::BitOr;
use std::sync::Arc;

use super::steering::decimal;
use crate::balance::loads::{Census, Loads};
use crate::model::{LbConfig, Retry};

/// Envoy's conditions: those of x-envoy-retry-on, then those of x-envoy-retry-grpc-on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Words(u32);

const HTTP: [&str; 11] = [
    "5xx",
    "gateway-error",
    "reset",
    "reset-before-request",
    "connect-failure",
    "envoy-ratelimited",
    "retriable-4xx",
    "refused-stream",
    "retriable-status-codes",
    "retriable-headers",
    "http3-post-connect-failure",
];
/// With the status each stands for.
const GRPC: [(&str, i32); 5] =
    [("cancelled", 1), ("deadline-exceeded", 4), ("resource-exhausted", 8), ("internal", 13), ("unavailable", 14)];
const TOO_EARLY: u16 = 425;
/// Growth of the back-off ends here, in base intervals.
const MOST_INTERVALS: u64 = 10;
pub const BLANK: [char; 6] = [' ', '\t', '\n', '\u{b}', '\u{c}', '\r'];

impl Words {
    const SERVER_ERROR: Words = Words(1);
    const GATEWAY_ERROR: Words = Words(1 << 1);
    const RESET: Words = Words(1 << 2);
    const RESET_BEFORE_REQUEST: Words = Words(1 << 3);
    const CONNECT_FAILURE: Words = Words(1 << 4);
    const RATELIMITED: Words = Words(1 << 5);
    const CONFLICT: Words = Words(1 << 6);
    const REFUSED_STREAM: Words = Words(1 << 7);
    const STATUS_CODES: Words = Words(1 << 8);
    const HEADERS: Words = Words(1 << 9);
    /// Conditions that any reset fulfils: it would become a 503.
    const ANY_RESET: Words = Words(Self::SERVER_ERROR.0 | Self::GATEWAY_ERROR.0 | Self::RESET.0);

    /// The words of x-envoy-retry-on in a comma separated text; others are ignored.
    pub fn http(text: &str) -> Words {
        Words::read(text, |word| HTTP.iter().position(|known| *known == word))
    }

    /// Those of x-envoy-retry-grpc-on.
    pub fn grpc(text: &str) -> Words {
        Words::read(text, |word| GRPC.iter().position(|(known, _)| *known == word).map(|at| HTTP.len() + at))
    }

    fn read(text: &str, place: impl Fn(&str) -> Option<usize>) -> Words {
        let places = text.split(',').filter_map(|word| place(word.trim_matches(BLANK)));
        Words(places.fold(0, |bits, at| bits | 1 << at))
    }

    fn any(self, of: Words) -> bool {
        self.0 & of.0 != 0
    }

    fn has_grpc(self, status: i32) -> bool {
        GRPC.iter().position(|(_, known)| *known == status).is_some_and(|at| self.any(Words(1 << (HTTP.len() + at))))
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl BitOr for Words {
    type Output = Words;

    fn bitor(self, other: Words) -> Words {
        Words(self.0 | other.0)
    }
}

/// Why a try broke, in Envoy's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    LocalConnectionFailure,
    RemoteConnectionFailure,
    ConnectionTimeout,
    ConnectionTermination,
    LocalReset,
    RemoteReset,
    RemoteRefusedStreamReset,
    ProtocolError,
    Overflow,
}

impl Reset {
    pub const ALL: [Reset; 9] = [
        Reset::LocalConnectionFailure,
        Reset::RemoteConnectionFailure,
        Reset::ConnectionTimeout,
        Reset::ConnectionTermination,
        Reset::LocalReset,
        Reset::RemoteReset,
        Reset::RemoteRefusedStreamReset,
        Reset::ProtocolError,
        Reset::Overflow,
    ];

    /// The contract's word.
    pub fn word(self) -> &'static str {
        match self {
            Reset::LocalConnectionFailure => "local_connection_failure",
            Reset::RemoteConnectionFailure => "remote_connection_failure",
            Reset::ConnectionTimeout => "connection_timeout",
            Reset::ConnectionTermination => "connection_termination",
            Reset::LocalReset => "local_reset",
            Reset::RemoteReset => "remote_reset",
            Reset::RemoteRefusedStreamReset => "remote_refused_stream_reset",
            Reset::ProtocolError => "protocol_error",
            Reset::Overflow => "overflow",
        }
    }

    pub fn of(word: &str) -> Option<Reset> {
        Reset::ALL.into_iter().find(|known| known.word() == word)
    }

    /// Envoy's response flag.
    pub fn flag(self) -> &'static str {
        match self {
            Reset::LocalConnectionFailure | Reset::RemoteConnectionFailure | Reset::ConnectionTimeout => "UF",
            Reset::ConnectionTermination => "UC",
            Reset::LocalReset => "LR",
            Reset::RemoteReset | Reset::RemoteRefusedStreamReset => "UR",
            Reset::ProtocolError => "UPE",
            Reset::Overflow => "UO",
        }
    }

    pub fn is_connection_failure(self) -> bool {
        matches!(self, Reset::LocalConnectionFailure | Reset::RemoteConnectionFailure | Reset::ConnectionTimeout)
    }
}

/// What a retry policy makes of an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    No,
    AfterBackoff,
    AtOnce,
}

/// What a retry policy reads of a response. `grpc_status`: of its headers; -1 for one that cannot be read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Answered {
    pub status: u16,
    pub grpc_status: Option<i32>,
    pub ratelimited: bool,
    /// One of the policy's `headers` is there.
    pub retriable_header: bool,
}

/// Of a response, beside those that a policy names.
pub const READ: [&str; 2] = ["grpc-status", "x-envoy-ratelimited"];
const MOST_GRPC_STATUS: u64 = 16;

impl Answered {
    /// values: of the headers that `Exchange::reads` names, in order.
    pub fn of(status: u16, values: &[Option<String>]) -> Answered {
        let grpc = values[0].as_deref().filter(|text| !text.is_empty());
        Answered {
            status,
            grpc_status: grpc.map(|text| decimal(text, MOST_GRPC_STATUS).map_or(-1, |status| status as i32)),
            ratelimited: values[1].is_some(),
            retriable_header: values[READ.len()..].iter().any(Option::is_some),
        }
    }
}

/// The retry policy of one request: the route's, and what its own headers add.
#[derive(Clone, Debug)]
pub struct Policy {
    pub route: Arc<Retry>,
    pub words: Words,
    /// Tries after the first one.
    pub attempts: u64,
    pub codes: Vec<u32>,
    /// Names whose presence in a response asks for another try (lower case).
    pub headers: Vec<String>,
}

impl Policy {
    pub fn of(route: Arc<Retry>) -> Policy {
        let (words, attempts) = (route.words, u64::from(route.attempts));
        Policy { route, words, attempts, codes: Vec::new(), headers: Vec::new() }
    }

    pub fn after_response(&self, response: &Answered) -> Verdict {
        let (words, status) = (self.words, response.status);
        if response.ratelimited {
            return if words.any(Words::RATELIMITED) { Verdict::AfterBackoff } else { Verdict::No };
        }
        if (words.any(Words::SERVER_ERROR) && (500..600).contains(&status))
            || (words.any(Words::GATEWAY_ERROR) && (502..=504).contains(&status))
            || (words.any(Words::CONFLICT) && status == 409)
        {
            return Verdict::AfterBackoff;
        }
        let mut codes = self.route.status_codes.iter().chain(&self.codes);
        if words.any(Words::STATUS_CODES) && codes.any(|code| *code == u32::from(status)) {
            return if status == TOO_EARLY { Verdict::AtOnce } else { Verdict::AfterBackoff };
        }
        let header = words.any(Words::HEADERS) && response.retriable_header;
        if header || response.grpc_status.is_some_and(|status| words.has_grpc(status)) {
            return Verdict::AfterBackoff;
        }
        Verdict::No
    }

    /// `sent`: something of the request was written, in this try or an earlier one.
    pub fn after_reset(&self, reason: Reset, sent: bool) -> Verdict {
        let words = self.words;
        let repeated = reason != Reset::Overflow
            && ((words.any(Words::CONNECT_FAILURE) && reason.is_connection_failure())
                || (words.any(Words::RESET_BEFORE_REQUEST) && !sent)
                || words.any(Words::ANY_RESET)
                || (words.any(Words::REFUSED_STREAM) && reason == Reset::RemoteRefusedStreamReset));
        if repeated { Verdict::AfterBackoff } else { Verdict::No }
    }

    /// The bound of the n-th back-off in milliseconds (n from 1): it doubles, up to ten bases.
    pub fn interval(&self, number: u64) -> u64 {
        let base = milliseconds(self.route.base_interval).max(1);
        (base << number.saturating_sub(1).min(4)).min(base.saturating_mul(MOST_INTERVALS))
    }
}

/// Envoy's unit of time limits.
pub fn milliseconds(seconds: f64) -> u64 {
    (seconds * 1000.0 + 0.5) as u64
}

/// Priorities that were tried are left out, anew after each `frequency` tries; when nothing is left, all over again.
#[derive(Debug)]
pub struct PreviousPriorities {
    frequency: usize,
    excluded: BTreeSet<u32>,
    loads: Option<Loads>,
    /// The priorities of the endpoints tried so far.
    pub tried: Vec<u32>,
}

impl PreviousPriorities {
    pub fn new(frequency: u32) -> Self {
        PreviousPriorities { frequency: frequency as usize, excluded: BTreeSet::new(), loads: None, tried: Vec::new() }
    }

    /// What the next pick chooses its priority by; None: the balancer's own.
    pub fn loads(&mut self, own: &Loads, census: impl FnOnce() -> Vec<Census>, lb: &LbConfig) -> Option<&Loads> {
        let count = self.tried.len();
        if count < self.frequency {
            return None;
        }
        if count.is_multiple_of(self.frequency) {
            let census = census();
            self.excluded.extend(&self.tried);
            self.loads = own.without(&census, lb, &self.excluded);
            if self.loads.is_none() {
                self.excluded.clear();
                self.tried.clear();
                self.loads = own.without(&census, lb, &self.excluded);
            }
        }
        self.loads.as_ref().filter(|found| found.healthy.len() == own.healthy.len())
    }
}
