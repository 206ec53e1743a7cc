//! What stands in the place of policies, which the engine hands back as they are.

use std::sync::Arc;

use serde::Deserialize;

use crate::embed::{Retry, Rule, Tls, Upstream};

/// What is kept beside the core's objects.
#[derive(Clone, Debug, Default)]
pub enum Facts {
    #[default]
    None,
    Rule(Arc<Rule>),
    Upstream(Arc<Upstream>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleForm {
    timeout: Option<f64>,
    retry: Option<RetryForm>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RetryForm {
    attempts: u32,
    retry_on: Box<str>,
    #[serde(default)]
    status_codes: Box<[u32]>,
    per_try_timeout: Option<f64>,
    backoff: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpstreamForm {
    connect_timeout: Option<f64>,
    tls: Option<TlsForm>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct TlsForm {
    mode: Box<str>,
    sni: Box<str>,
    verify: Box<str>,
    ca: Box<str>,
    certificate: Box<str>,
    private_key: Box<str>,
    credential_name: Box<str>,
    subject_alt_names: Box<[Box<str>]>,
    alpn: Box<[Box<str>]>,
    auto_sni: bool,
}

impl From<RuleForm> for Facts {
    fn from(form: RuleForm) -> Self {
        let retry = form.retry.map(|retry| Retry {
            attempts: retry.attempts,
            retry_on: retry.retry_on,
            status_codes: retry.status_codes,
            per_try_timeout: retry.per_try_timeout,
            backoff: retry.backoff,
        });
        Facts::Rule(Arc::new(Rule { timeout: form.timeout, retry }))
    }
}

impl From<UpstreamForm> for Facts {
    fn from(form: UpstreamForm) -> Self {
        let tls = form.tls.map(|tls| Tls {
            mode: tls.mode,
            sni: tls.sni,
            verify: tls.verify,
            ca: tls.ca,
            certificate: tls.certificate,
            private_key: tls.private_key,
            credential_name: tls.credential_name,
            subject_alt_names: tls.subject_alt_names,
            alpn: tls.alpn,
            auto_sni: tls.auto_sni,
        });
        Facts::Upstream(Arc::new(Upstream { connect_timeout: form.connect_timeout, tls }))
    }
}

/// Null is nothing.
pub fn facts<F: Into<Facts>>(form: Option<F>) -> Facts {
    form.map_or(Facts::None, Into::into)
}
