//! What the route and the request's own headers say about tries and time limits (Envoy: router.cc, finalTimeout).

use std::sync::Arc;

use super::retry::{BLANK, Policy, Words, milliseconds};
use crate::model::Retry;

/// The request headers that are read, in lower case: the first `UNTRUSTED` of any request, all of a trusted one.
pub const HEADERS: [&str; 10] = [
    "content-type",
    "grpc-timeout",
    "x-envoy-retry-on",
    "x-envoy-retry-grpc-on",
    "x-envoy-max-retries",
    "x-envoy-retriable-status-codes",
    "x-envoy-retriable-header-names",
    "x-envoy-upstream-rq-timeout-ms",
    "x-envoy-upstream-rq-per-try-timeout-ms",
    "x-envoy-upstream-rq-timeout-alt-response",
];
const UNTRUSTED: usize = 2;
/// Beside them: what goes upstream only as Envoy writes it.
const OTHERS: [&str; 4] = [
    "x-envoy-hedge-on-per-try-timeout",
    "x-envoy-upstream-stream-duration-ms",
    "x-envoy-upstream-alt-stat-name",
    "x-envoy-attempt-count",
];
pub const EXPECTED: &str = "x-envoy-expected-rq-timeout-ms";
/// What only a trusted request may say, beside what is read of it.
const TRUSTED: [&str; 6] = [
    EXPECTED,
    "x-envoy-force-trace",
    "x-envoy-internal",
    "x-envoy-ip-tags",
    "x-envoy-original-host",
    "x-envoy-original-url",
];
const GRPC_MOST: u64 = 99_999_999;
/// About a century, in milliseconds: beyond it the nanoseconds do not fit 63 bits.
const MOST_TIME: u64 = 4_000_000_000_000;
const NANOSECONDS: u64 = 1_000_000;

/// The names to read of a request.
pub fn read_names(trusted: bool) -> &'static [&'static str] {
    if trusted { &HEADERS } else { &HEADERS[..UNTRUSTED] }
}

/// Request headers that never go upstream as they came.
pub fn stripped(trusted: bool) -> Vec<&'static str> {
    let more = if trusted { &[][..] } else { &TRUSTED };
    HEADERS[UNTRUSTED..].iter().chain(&OTHERS).chain(more).copied().collect()
}

/// The values of headers by name, lines of one joined by commas, as Envoy does; None where there is no line.
pub fn joined<'l>(names: &[&str], lines: impl Iterator<Item = (&'l [u8], &'l [u8])>) -> Vec<Option<String>> {
    let mut values: Vec<Option<String>> = vec![None; names.len()];
    for (name, value) in lines {
        let known = names.iter().position(|known| known.as_bytes().eq_ignore_ascii_case(name));
        let Some(joined) = known.map(|at| &mut values[at]) else { continue };
        let line = String::from_utf8_lossy(value);
        match joined {
            Some(joined) => {
                joined.push(',');
                joined.push_str(&line);
            }
            none => *none = Some(line.into_owned()),
        }
    }
    values
}

/// Time limits in milliseconds, 0: none.
#[derive(Clone, Debug, Default)]
pub struct Steering {
    /// The request's x-envoy- headers were read.
    pub trusted: bool,
    /// It is a gRPC request.
    pub grpc: bool,
    pub timeout: u64,
    pub per_try: u64,
    /// 204 instead of 504 where time is up.
    pub alternative: bool,
    /// None where nothing is tried again.
    pub policy: Option<Policy>,
}

impl Steering {
    /// `values`: of the headers that `read_names` names, in order; lines of one joined by commas, as Envoy does.
    pub fn new(retry: Option<&Arc<Retry>>, timeout: f64, values: &[Option<String>], trusted: bool) -> Steering {
        let value = |at: usize| values.get(at).and_then(Option::as_deref);
        let mut timeout = milliseconds(timeout);
        let mut per_try = retry.map_or(0, |retry| milliseconds(retry.per_try_timeout));
        let grpc = value(0).is_some_and(is_grpc);
        if grpc {
            let asked = value(1).map_or(0, grpc_timeout);
            if asked > 0 && (timeout == 0 || asked <= timeout) {
                timeout = asked;
            }
        }
        timeout = number(value(7), timeout).min(MOST_TIME);
        per_try = number(value(8), per_try).min(MOST_TIME);
        if timeout > 0 && per_try >= timeout {
            per_try = 0;
        }
        let policy = policy(retry, &value);
        Steering { trusted, grpc, timeout, per_try, alternative: value(9).is_some(), policy }
    }

    /// What Envoy tells the upstream: attempt and expected time. `elapsed`: nanoseconds since the request was complete.
    pub fn headers(&self, attempt: u32, elapsed: i64) -> Vec<(&'static str, String)> {
        let mut made = vec![("x-envoy-attempt-count", attempt.to_string())];
        let mut expected = if self.per_try > 0 { self.per_try } else { self.timeout };
        if self.timeout > 0 {
            let gone = elapsed.max(0) as u64 / NANOSECONDS;
            expected = if gone >= self.timeout { 1 } else { expected.min(self.timeout - gone) };
        }
        if expected > 0 {
            made.push((EXPECTED, expected.to_string()));
            if self.grpc {
                made.push(("grpc-timeout", grpc_timeout_text(expected)));
            }
        }
        made
    }
}

fn policy<'v>(retry: Option<&Arc<Retry>>, value: &impl Fn(usize) -> Option<&'v str>) -> Option<Policy> {
    if retry.is_none() && (2..7).all(|at| value(at).is_none()) {
        return None;
    }
    let mut policy = Policy::of(retry.map_or_else(Arc::default, Arc::clone));
    policy.words = policy.words | Words::http(value(2).unwrap_or("")) | Words::grpc(value(3).unwrap_or(""));
    policy.attempts = number(value(4), policy.attempts);
    let codes = value(5).unwrap_or("").split(',').filter_map(|text| decimal(text, u64::from(u32::MAX)));
    policy.codes = codes.map(|code| code as u32).collect();
    let names = value(6).unwrap_or("").split(',').filter(|name| !name.is_empty());
    policy.headers = names.map(|name| name.trim_matches(BLANK).to_ascii_lowercase()).collect();
    Some(policy).filter(|policy| !policy.words.is_empty())
}

fn number(text: Option<&str>, default: u64) -> u64 {
    text.and_then(|text| decimal(text, u64::MAX)).unwrap_or(default)
}

/// A number as absl::SimpleAtoi reads it; None for anything else.
pub fn decimal(text: &str, most: u64) -> Option<u64> {
    let text = text.trim_matches(BLANK);
    let digits = text.strip_prefix('+').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().filter(|number| *number <= most)
}

fn is_grpc(content_type: &str) -> bool {
    content_type.strip_prefix("application/grpc").is_some_and(|rest| rest.is_empty() || rest.starts_with('+'))
}

/// Milliseconds, rounded up; 0 where there is none that can be read.
fn grpc_timeout(text: &str) -> u64 {
    let Some((at, unit)) = text.char_indices().next_back() else { return 0 };
    let unit = match unit {
        'H' => 3_600_000_000_000,
        'M' => 60_000_000_000,
        'S' => 1_000_000_000,
        'm' => 1_000_000,
        'u' => 1_000,
        'n' => 1_u128,
        _ => return 0,
    };
    let number = decimal(&text[..at], GRPC_MOST).unwrap_or(0);
    (u128::from(number) * unit).div_ceil(u128::from(NANOSECONDS)) as u64
}

/// The same the other way: at most eight digits.
fn grpc_timeout_text(mut time: u64) -> String {
    let (mut units, mut unit, mut step) = ("SMH".chars(), 'm', 1000);
    while time > GRPC_MOST {
        let Some(next) = units.next() else { break };
        (time, unit, step) = (time / step, next, 60);
    }
    format!("{}{unit}", time.min(GRPC_MOST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_envoy_reads_them() {
        for (text, number) in
            [("5", Some(5)), (" +5\t", Some(5)), ("-5", None), ("5x", None), ("", None), ("007", Some(7))]
        {
            assert_eq!(decimal(text, u64::MAX), number, "{text:?}");
        }
        assert_eq!(decimal("18446744073709551616", u64::MAX), None);
        assert_eq!(decimal("256", 255), None);
    }

    #[test]
    fn grpc_timeouts_are_rounded_up() {
        for (text, time) in [
            ("1S", 1000),
            ("1500m", 1500),
            ("1H", 3_600_000),
            ("2M", 120_000),
            ("1u", 1),
            ("1001u", 2),
            ("1n", 1),
            ("0n", 0),
            ("S", 0),
            ("1s", 0),
            ("100000000S", 0),
            ("", 0),
            ("1é", 0),
        ] {
            assert_eq!(grpc_timeout(text), time, "{text:?}");
        }
        for (time, text) in
            [(1, "1m"), (99_999_999, "99999999m"), (100_000_000, "100000S"), (4_000_000_000_000, "66666666M")]
        {
            assert_eq!(grpc_timeout_text(time), text);
        }
    }
}
