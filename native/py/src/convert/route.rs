//! Virtual hosts, routes and filter chains.

use pyo3::prelude::*;
use roadstead_core::exchange::retry::Words;
use roadstead_core::model::{
    self, Action, Chain, Cors, Destination, Fault, HashKind, HashPolicy, HeaderMatch, HeaderOp, Match, MatchKind,
    Mirror, OpKind, PieceKind, QueryMatch, Redirect, Retry, Route, Transport, ValueMatch, VirtualHost,
};
use roadstead_core::template::Piece;

use super::Handles;
use super::cluster::Interned;
use super::fields::Fields;
use crate::attach::PyAttach;

pub fn virtual_host(
    value: &Bound<'_, PyAny>,
    interned: &mut Interned,
    handles: &mut Handles<'_>,
) -> PyResult<VirtualHost<PyAttach>> {
    let fields = Fields::of(value, "VirtualHost", 6)?;
    Ok(VirtualHost {
        handle: handles.next(&fields, Piece::VirtualHost, None)?,
        port: fields.number(1)?,
        domains: fields.list(2, |item| {
            let domain = Fields::of(&item, "domain", 2)?;
            Ok((domain.string(0)?, domain.number(1)?))
        })?,
        routes: fields.list(3, |item| route(&item, interned, handles))?,
        tls: fields.flag(4)?,
        addresses: fields.strings(5)?,
    })
}

fn route(value: &Bound<'_, PyAny>, interned: &mut Interned, handles: &mut Handles<'_>) -> PyResult<Route<PyAttach>> {
    let fields = Fields::of(value, "Route", 20)?;
    Ok(Route {
        handle: handles.next(&fields, Piece::Route, Some(16))?,
        matcher: request_match(&*fields.get(1)?)?,
        action: fields.code(2, &Action::CODES)?,
        destinations: fields.list(3, |item| destination(&item))?,
        request_ops: ops(&fields, 4)?,
        response_ops: ops(&fields, 5)?,
        prefix_rewrite: fields.optional_text(6)?,
        regex_rewrite: fields.optional(7)?.map(|item| pair(&item)).transpose()?,
        host_rewrite: fields.optional_text(8)?,
        redirect: fields.optional(9)?.map(|item| redirect(&item)).transpose()?,
        direct_status: fields.number(10)?,
        direct_body: fields.bytes(11)?,
        mirrors: fields.list(12, |item| mirror(&item))?.into_boxed_slice(),
        hash_policies: hash_policies(&fields, 13)?,
        fault: fields.optional(14)?.map(|item| fault(&item)).transpose()?,
        retry_host_attempts: fields.number::<u16>(15)?.into(),
        timeout: fields.seconds(17)?,
        retry: fields.optional(18)?.map(|item| interned.retries.get(&item, retry)).transpose()?,
        cors: fields.optional(19)?.map(|item| interned.cors.get(&item, cors)).transpose()?,
    })
}

fn cors(value: &Bound<'_, PyAny>) -> PyResult<Cors> {
    let fields = Fields::of(value, "Cors", 7)?;
    Ok(Cors {
        origins: fields.list(0, |item| value_match(&item))?.into_boxed_slice(),
        allow_methods: fields.text(1)?,
        allow_headers: fields.text(2)?,
        expose_headers: fields.text(3)?,
        max_age: fields.text(4)?,
        allow_credentials: fields.flag(5)?,
        forward_unmatched: fields.flag(6)?,
    })
}

fn pair(value: &Bound<'_, PyAny>) -> PyResult<(String, String)> {
    let fields = Fields::of(value, "regex_rewrite", 2)?;
    Ok((fields.string(0)?, fields.string(1)?))
}

fn value_match(value: &Bound<'_, PyAny>) -> PyResult<ValueMatch> {
    let fields = Fields::of(value, "ValueMatch", 3)?;
    Ok(ValueMatch { kind: fields.code(0, &MatchKind::CODES)?, value: fields.string(1)?, ignore_case: fields.flag(2)? })
}

fn request_match(value: &Bound<'_, PyAny>) -> PyResult<Match> {
    let fields = Fields::of(value, "Match", 3)?;
    Ok(Match {
        path: fields.optional(0)?.map(|item| value_match(&item)).transpose()?,
        headers: fields.list(1, |item| {
            let header = Fields::of(&item, "HeaderMatch", 4)?;
            Ok(HeaderMatch {
                name: header.string(0)?,
                value: value_match(&*header.get(1)?)?,
                invert: header.flag(2)?,
                missing_as_empty: header.flag(3)?,
            })
        })?,
        queries: fields.list(2, |item| {
            let query = Fields::of(&item, "QueryMatch", 2)?;
            Ok(QueryMatch { name: query.string(0)?, value: value_match(&*query.get(1)?)? })
        })?,
    })
}

fn ops(fields: &Fields<'_, '_>, index: usize) -> PyResult<Box<[HeaderOp]>> {
    let made = fields.list(index, |item| {
        let op = Fields::of(&item, "HeaderOp", 4)?;
        let format = op.list(3, |item| {
            let piece = Fields::of(&item, "Piece", 4)?;
            let kind = piece.code(0, &PieceKind::CODES)?;
            Ok(model::Piece { kind, text: piece.text(1)?, other: piece.text(2)?, limit: piece.number(3)? })
        })?;
        let kind = op.code(0, &OpKind::CODES)?;
        Ok(HeaderOp { kind, name: op.text(1)?, value: op.text(2)?, format: format.into() })
    })?;
    Ok(made.into_boxed_slice())
}

fn destination(value: &Bound<'_, PyAny>) -> PyResult<Destination> {
    let fields = Fields::of(value, "Destination", 5)?;
    Ok(Destination {
        cluster: fields.string(0)?,
        weight: fields.number(1)?,
        request_ops: ops(&fields, 2)?,
        response_ops: ops(&fields, 3)?,
        host_rewrite: fields.optional_text(4)?,
    })
}

fn redirect(value: &Bound<'_, PyAny>) -> PyResult<Redirect> {
    let fields = Fields::of(value, "Redirect", 7)?;
    Ok(Redirect {
        scheme: fields.text(0)?,
        host: fields.text(1)?,
        port: fields.number(2)?,
        path: fields.text(3)?,
        prefix_rewrite: fields.text(4)?,
        code: fields.number(5)?,
        keep_port: fields.flag(6)?,
    })
}

fn mirror(value: &Bound<'_, PyAny>) -> PyResult<Mirror> {
    let fields = Fields::of(value, "Mirror", 2)?;
    Ok(Mirror { cluster: fields.text(0)?, numerator: fields.number(1)? })
}

fn hash_policies(fields: &Fields<'_, '_>, index: usize) -> PyResult<Box<[HashPolicy]>> {
    let made = fields.list(index, |item| {
        let policy = Fields::of(&item, "HashPolicy", 6)?;
        let attributes = policy.list(4, |item| {
            let attribute = Fields::of(&item, "attribute", 2)?;
            Ok((attribute.text(0)?, attribute.text(1)?))
        })?;
        Ok(HashPolicy {
            kind: policy.code(0, &HashKind::CODES)?,
            name: policy.text(1)?,
            ttl: policy.optional_number(2)?,
            path: policy.text(3)?,
            attributes: attributes.into_boxed_slice(),
            terminal: policy.flag(5)?,
        })
    })?;
    Ok(made.into_boxed_slice())
}

fn fault(value: &Bound<'_, PyAny>) -> PyResult<Fault> {
    let fields = Fields::of(value, "Fault", 5)?;
    Ok(Fault {
        delay: fields.seconds(0)?,
        delay_numerator: fields.number(1)?,
        abort_numerator: fields.number(2)?,
        abort_status: fields.number(3)?,
        abort_grpc_status: fields.number(4)?,
    })
}

fn retry(value: &Bound<'_, PyAny>) -> PyResult<Retry> {
    let fields = Fields::of(value, "Retry", 7)?;
    let retry_on = fields.text(0)?;
    Ok(Retry {
        words: Words::http(&retry_on) | Words::grpc(&retry_on),
        attempts: fields.number(1)?,
        per_try_timeout: fields.seconds(2)?,
        base_interval: fields.seconds(3)?,
        status_codes: fields.list(4, |code| code.extract())?.into_boxed_slice(),
        previous_hosts: fields.flag(5)?,
        previous_priorities: fields.number(6)?,
    })
}

pub fn chain(value: &Bound<'_, PyAny>, handles: &mut Handles<'_>) -> PyResult<Chain<PyAttach>> {
    let fields = Fields::of(value, "Chain", 10)?;
    Ok(Chain {
        handle: handles.next(&fields, Piece::Chain, Some(9))?,
        host: fields.string(1)?,
        port: fields.number(2)?,
        addresses: fields.strings(3)?,
        cidrs: fields.strings(4)?,
        snis: fields.strings(5)?,
        transport: fields.code(6, &Transport::CODES)?,
        destinations: fields.list(7, |item| destination(&item))?,
        hash_policies: hash_policies(&fields, 8)?,
    })
}
