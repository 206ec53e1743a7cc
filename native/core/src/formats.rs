//! Values of header operations with Envoy's commands in them (`substitution_formatter.cc`), taken apart when they are lowered.

use std::borrow::Cow;

use crate::model::{HeaderOp, OpKind, Piece, PieceKind};
use crate::rewrite::Operation;

/// What is known of a response while its headers are worked on.
pub struct Told<'t> {
    /// 0: not known.
    pub status: u16,
    /// The first value of one of its headers.
    pub header: &'t dyn Fn(&str) -> Option<String>,
}

impl Told<'_> {
    /// Only the status is known.
    pub fn status(status: u16) -> Self {
        Told { status, header: &|_| None }
    }
}

/// Operations with their values. `fact`: what a piece stands for, given the operations before; None: there is none.
pub fn rendered<'o>(
    operations: impl Iterator<Item = &'o HeaderOp>,
    fact: impl Fn(&Piece, &[Operation<'o>]) -> Option<String>,
) -> Vec<Operation<'o>> {
    let mut made = Vec::with_capacity(operations.size_hint().0);
    for operation in operations {
        let mut one = Operation::from(operation);
        if !operation.format.is_empty() {
            one.value = Cow::Owned(text(&operation.format, |piece| fact(piece, &made)));
        }
        made.push(one);
    }
    made
}

fn text(pieces: &[Piece], fact: impl Fn(&Piece) -> Option<String>) -> String {
    let mut made = String::new();
    for piece in pieces {
        if piece.kind == PieceKind::Text {
            made.push_str(&piece.text);
        } else if let Some(value) = fact(piece) {
            let most = if piece.limit == 0 { value.len() } else { value.len().min(piece.limit as usize) };
            let end = (0..=most).rev().find(|end| value.is_char_boundary(*end)).unwrap_or(0);
            made.push_str(&value[..end]);
        }
    }
    made
}

/// The first value of a header after operations on it.
pub fn after(operations: &[Operation<'_>], name: &str, before: Option<String>) -> Option<String> {
    operations.iter().filter(|one| one.name.eq_ignore_ascii_case(name)).fold(before, |found, one| match one.kind {
        OpKind::Remove => None,
        _ if one.value.is_empty() => found,
        OpKind::Set => Some(one.value.to_string()),
        OpKind::Add | OpKind::AddIfAbsent => found.or_else(|| Some(one.value.to_string())),
    })
}
