//! Pointers from outside: where they are looked at and turned into references, and back. Everything unsafe of a call goes through here.

use std::ffi::c_char;
use std::mem::{MaybeUninit, size_of};
use std::ptr;

use crate::failure::Failure;
use crate::types::{
    roadstead_answer, roadstead_choice, roadstead_endpoint, roadstead_error, roadstead_header, roadstead_options,
    roadstead_request, roadstead_retry, roadstead_service, roadstead_status, roadstead_step, roadstead_str,
    roadstead_terms, roadstead_tls,
};

/// A struct that begins with its size, as the caller knows it.
///
/// # Safety
/// `repr(C)`, its first field the size, all zeros a value of it.
pub unsafe trait Sized0: Copy {
    /// Bytes of its version 0.
    const LEAST: usize;
    const NAME: &'static str;
}

macro_rules! sized {
    ($($name:ident),*) => {
        $(
            // SAFETY: plain C structs of numbers, pointers and nullable function pointers.
            unsafe impl Sized0 for $name {
                const LEAST: usize = size_of::<$name>();
                const NAME: &'static str = stringify!($name);
            }
        )*
    };
}

sized!(
    roadstead_answer,
    roadstead_choice,
    roadstead_endpoint,
    roadstead_error,
    roadstead_options,
    roadstead_request,
    roadstead_retry,
    roadstead_service,
    roadstead_step,
    roadstead_terms,
    roadstead_tls
);

#[cold]
pub fn null(what: &str) -> Failure {
    Failure::new(roadstead_status::ROADSTEAD_NULL, format!("{what} is NULL"))
}

#[cold]
fn size_of_given<T: Sized0>(given: usize) -> Result<usize, Failure> {
    if given >= T::LEAST {
        return Ok(given.min(size_of::<T>()));
    }
    let message = format!("{}.struct_size is {given}, expected at least {}: set it to sizeof", T::NAME, T::LEAST);
    Err(Failure::new(roadstead_status::ROADSTEAD_STRUCT_SIZE, message))
}

/// What a caller hands in: its own struct, or, where its version knows fewer fields, a copy in `room` with zeros for the others.
///
/// # Safety
/// `from` is NULL or points to as many bytes as its first field says, aligned, and nobody changes them while `'a` is used.
#[inline]
pub unsafe fn read<T: Sized0>(from: *const T, room: &mut MaybeUninit<T>) -> Result<&T, Failure> {
    if from.is_null() {
        return Err(null(T::NAME));
    }
    // SAFETY: the size is the first field of every version.
    let given = unsafe { from.cast::<usize>().read() };
    if given >= size_of::<T>() {
        // SAFETY: all of a T is there.
        return Ok(unsafe { &*from });
    }
    let size = size_of_given::<T>(given)?;
    // SAFETY: `size` bytes are there, fewer than T has; zeros are a T.
    unsafe {
        room.as_mut_ptr().write_bytes(0, 1);
        ptr::copy_nonoverlapping(from.cast::<u8>(), room.as_mut_ptr().cast::<u8>(), size);
        Ok(room.assume_init_ref())
    }
}

/// Hands out as much of `value` as the caller's version has; the size stays the caller's.
///
/// # Safety
/// As of `read`, and nobody else looks at it meanwhile.
#[inline]
pub unsafe fn write<T: Sized0>(to: *mut T, value: T) -> Result<(), Failure> {
    if to.is_null() {
        return Err(null(T::NAME));
    }
    let head = size_of::<usize>();
    // SAFETY: as in `read`; the first field is not written.
    unsafe {
        let given = to.cast::<usize>().read();
        if given == size_of::<T>() {
            // The common case, of a length that the compiler knows.
            to.write(value);
            to.cast::<usize>().write(given);
            return Ok(());
        }
        let size = size_of_given::<T>(given)?;
        let (from, to) = (ptr::from_ref(&value).cast::<u8>().add(head), to.cast::<u8>().add(head));
        ptr::copy_nonoverlapping(from, to, size - head);
    }
    Ok(())
}

/// Whether a struct that will be written can be: asked before anything is done.
///
/// # Safety
/// As of `read`.
#[inline]
pub unsafe fn writable<T: Sized0>(to: *const T) -> Result<(), Failure> {
    if to.is_null() {
        return Err(null(T::NAME));
    }
    // SAFETY: as in `read`.
    let given = unsafe { to.cast::<usize>().read() };
    if given == size_of::<T>() { Ok(()) } else { size_of_given::<T>(given).map(drop) }
}

/// An out-parameter.
///
/// # Safety
/// NULL, or valid and aligned for one T.
pub unsafe fn set<T>(out: *mut T, what: &str, value: T) -> Result<(), Failure> {
    if out.is_null() {
        return Err(null(what));
    }
    // SAFETY: not NULL, so valid; what was there is plain data.
    unsafe { out.write(value) };
    Ok(())
}

/// As many of the values as the array has room for; how many there are. Nothing is written to an array of no room.
///
/// # Safety
/// `out` is valid for `room` values, or `room` is 0; `count` NULL or valid.
pub unsafe fn fill<T>(
    values: impl IntoIterator<Item = T>,
    out: *mut T,
    room: usize,
    count: *mut usize,
) -> Result<(), Failure> {
    if room > 0 && out.is_null() {
        return Err(null("the array"));
    }
    let mut total = 0;
    for value in values {
        if total < room {
            // SAFETY: inside the room.
            unsafe { out.add(total).write(value) };
        }
        total += 1;
    }
    // SAFETY: the caller's.
    unsafe { set(count, "count", total) }
}

#[cold]
fn too_long(what: &str) -> Failure {
    Failure::new(roadstead_status::ROADSTEAD_RANGE, format!("{what} is longer than memory can be"))
}

/// An array of the caller's; NULL with no length is empty.
///
/// # Safety
/// `data` is valid for `len` values for as long as `'a` is used, or `len` is 0.
#[inline]
pub unsafe fn slice<'a, T>(data: *const T, len: usize, what: &str) -> Result<&'a [T], Failure> {
    if len == 0 {
        return Ok(&[]);
    }
    if data.is_null() {
        return Err(null(what));
    }
    if len > isize::MAX as usize / size_of::<T>().max(1) {
        return Err(too_long(what));
    }
    // SAFETY: not NULL, so valid for `len` values; no longer than an allocation can be.
    Ok(unsafe { std::slice::from_raw_parts(data, len) })
}

impl roadstead_str {
    pub const NONE: roadstead_str = roadstead_str { data: ptr::null(), len: 0 };

    pub fn of(text: &str) -> Self {
        Self::of_bytes(text.as_bytes())
    }

    pub fn of_bytes(bytes: &[u8]) -> Self {
        roadstead_str { data: bytes.as_ptr().cast::<c_char>(), len: bytes.len() }
    }

    pub fn of_option(text: Option<&str>) -> Self {
        text.map_or(Self::NONE, Self::of)
    }

    /// # Safety
    /// As of `slice`.
    #[inline]
    pub unsafe fn bytes<'a>(self, what: &str) -> Result<&'a [u8], Failure> {
        // SAFETY: the caller's.
        unsafe { slice(self.data.cast::<u8>(), self.len, what) }
    }

    /// Of a header, where there is nobody to tell: NULL is empty.
    ///
    /// # Safety
    /// As of `slice`.
    #[inline]
    pub unsafe fn header_bytes<'a>(self) -> &'a [u8] {
        if self.data.is_null() || self.len > isize::MAX as usize {
            return &[];
        }
        // SAFETY: not NULL, so valid for its length.
        unsafe { std::slice::from_raw_parts(self.data.cast::<u8>(), self.len) }
    }

    /// # Safety
    /// As of `slice`.
    #[inline(always)]
    pub unsafe fn text<'a>(self, what: &str) -> Result<&'a str, Failure> {
        // SAFETY: the caller's.
        let bytes = unsafe { self.bytes(what)? };
        if is_ascii(bytes) {
            // SAFETY: ASCII is UTF-8.
            return Ok(unsafe { std::str::from_utf8_unchecked(bytes) });
        }
        std::str::from_utf8(bytes).map_err(|error| bad_text(what, error))
    }

    /// None where it is NULL.
    ///
    /// # Safety
    /// As of `slice`.
    #[inline(always)]
    pub unsafe fn optional_text<'a>(self, what: &str) -> Result<Option<&'a str>, Failure> {
        if self.data.is_null() && self.len == 0 {
            return Ok(None);
        }
        // SAFETY: the caller's.
        unsafe { self.text(what) }.map(Some)
    }
}

impl roadstead_header {
    /// (name, value).
    ///
    /// # Safety
    /// As of `slice`, for both.
    #[inline]
    pub unsafe fn bytes<'a>(&self) -> (&'a [u8], &'a [u8]) {
        // SAFETY: the caller's.
        unsafe { (self.name.header_bytes(), self.value.header_bytes()) }
    }
}

/// As nearly all texts are: seen a word at a time.
#[inline]
fn is_ascii(bytes: &[u8]) -> bool {
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let (words, rest) = bytes.as_chunks::<8>();
    let all = words.iter().fold(0, |all, word| all | u64::from_ne_bytes(*word));
    let rest = match bytes.last_chunk::<8>() {
        // What is left over, with some that were seen.
        Some(last) => u64::from_ne_bytes(*last),
        None => rest.iter().fold(0, |all, byte| all | u64::from(*byte)),
    };
    (all | rest) & HIGH == 0
}

#[cold]
fn bad_text(what: &str, error: std::str::Utf8Error) -> Failure {
    let message = format!("{what} is not UTF-8 (byte {})", error.valid_up_to());
    Failure::new(roadstead_status::ROADSTEAD_UTF8, message)
}

/// What a handle points to: a mark that tells kinds and owners apart, then the value.
#[repr(C)]
struct Marked<T> {
    mark: u64,
    value: T,
}

/// A value that is handed out behind an opaque pointer.
pub trait Opaque {
    /// The opaque type of the header.
    type Face;
    /// Unlike that of every other kind and table.
    const MARK: u64;
    const NAME: &'static str;
}

pub fn hand_out<T: Opaque>(value: T) -> *mut T::Face {
    Box::into_raw(Box::new(Marked { mark: T::MARK, value })).cast()
}

#[inline]
fn marked<T: Opaque>(handle: *const T::Face) -> Result<*const Marked<T>, Failure> {
    let marked = handle.cast::<Marked<T>>();
    if marked.is_null() {
        return Err(null(T::NAME));
    }
    // SAFETY: a handle of ours, whatever its kind, begins with a mark; one that was freed is the caller's fault.
    if !marked.is_aligned() || unsafe { (*marked).mark } != T::MARK {
        return Err(wrong_handle(T::NAME));
    }
    Ok(marked)
}

#[cold]
fn wrong_handle(name: &str) -> Failure {
    let message = format!("{name} is a handle of another kind or another table of functions, or was freed");
    Failure::new(roadstead_status::ROADSTEAD_HANDLE, message)
}

/// What is behind a handle.
///
/// # Safety
/// NULL or a handle that is not freed while `'a` is used.
#[inline]
pub unsafe fn behind<'a, T: Opaque>(handle: *const T::Face) -> Result<&'a T, Failure> {
    // SAFETY: the mark is right, so it was made by `hand_out`.
    marked::<T>(handle).map(|marked| unsafe { &(*marked).value })
}

/// The same, to be changed.
///
/// # Safety
/// As of `behind`, and nobody else uses it.
#[inline]
pub unsafe fn behind_mut<'a, T: Opaque>(handle: *mut T::Face) -> Result<&'a mut T, Failure> {
    // SAFETY: the mark is right, so it was made by `hand_out`; nobody else uses it.
    marked::<T>(handle).map(|marked| unsafe { &mut (*marked.cast_mut()).value })
}

/// Ends a handle; NULL is none.
///
/// # Safety
/// As of `behind`, and nobody uses it any more.
pub unsafe fn take_back<T: Opaque>(handle: *mut T::Face) -> Result<(), Failure> {
    if handle.is_null() {
        return Ok(());
    }
    let marked = marked::<T>(handle)?.cast_mut();
    // SAFETY: made by `hand_out`; the mark goes first, so that a second time is likely to be noticed.
    unsafe {
        (*marked).mark = 0;
        drop(Box::from_raw(marked));
    }
    Ok(())
}
