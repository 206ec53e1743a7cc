//! How a call ends badly, and the one way into and out of every call.

use std::any::Any;
use std::borrow::Cow;
use std::ffi::c_char;
use std::panic::{AssertUnwindSafe, catch_unwind};

use roadstead_core::error::Error;

use crate::raw;
use crate::types::{roadstead_error, roadstead_status};

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub status: roadstead_status,
    pub message: Cow<'static, str>,
    /// Of a snapshot's text, from 1; 0 where the error is not about text.
    pub line: u32,
    pub column: u32,
}

impl Failure {
    pub fn new(status: roadstead_status, message: impl Into<Cow<'static, str>>) -> Self {
        Failure { status, message: message.into(), line: 0, column: 0 }
    }

    fn panic(payload: &(dyn Any + Send)) -> Self {
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
        Failure::new(roadstead_status::ROADSTEAD_PANIC, format!("a defect of roadstead: {text}"))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let status = match error {
            Error::UnknownCluster(_) => roadstead_status::ROADSTEAD_NOT_FOUND,
            Error::Regex { .. } | Error::Invalid(_) | Error::Stale => roadstead_status::ROADSTEAD_REFUSED,
        };
        Failure::new(status, error.to_string())
    }
}

/// Runs a call: nothing unwinds out of it, and what went wrong is told.
#[inline]
pub fn call(error: *mut roadstead_error, body: impl FnOnce() -> Result<(), Failure>) -> roadstead_status {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => roadstead_status::ROADSTEAD_OK,
        Ok(Err(failure)) => tell(error, &failure),
        Err(payload) => tell(error, &Failure::panic(&*payload)),
    }
}

/// Runs a call that only reads: `neutral` where that goes wrong.
#[inline]
pub fn read<T>(neutral: T, body: impl FnOnce() -> Result<T, Failure>) -> T {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(value)) => value,
        Ok(Err(_)) | Err(_) => neutral,
    }
}

#[cold]
fn tell(error: *mut roadstead_error, failure: &Failure) -> roadstead_status {
    let mut message = [0; 500];
    let text = cut(&failure.message, message.len() - 1);
    for (to, from) in message.iter_mut().zip(text.bytes()) {
        // NUL would end the text early.
        *to = if from == 0 { b' ' } else { from } as c_char;
    }
    let told = roadstead_error {
        struct_size: 0,
        status: failure.status as i32,
        line: failure.line,
        column: failure.column,
        message,
    };
    // SAFETY: NULL or, as the header demands, a struct of the size that it says.
    let _ = unsafe { raw::write(error, told) };
    failure.status
}

/// At most so many bytes, whole characters.
fn cut(text: &str, most: usize) -> &str {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_cut_between_characters() {
        assert_eq!(cut("aé", 2), "a");
        assert_eq!(cut("aé", 3), "aé");
        assert_eq!(cut("", 3), "");
    }

    #[test]
    fn panics_become_a_status() {
        let mut error = roadstead_error {
            struct_size: size_of::<roadstead_error>(),
            status: 0,
            line: 7,
            column: 7,
            message: [1; 500],
        };
        let status = call(&mut error, || panic!("on purpose"));
        assert_eq!(status, roadstead_status::ROADSTEAD_PANIC);
        assert_eq!((error.status, error.line), (15, 0));
        assert_eq!(read(3, || -> Result<i32, Failure> { panic!("on purpose") }), 3);
        assert_eq!(call(std::ptr::null_mut(), || panic!("on purpose")), roadstead_status::ROADSTEAD_PANIC);
    }
}
