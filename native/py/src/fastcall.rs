//! Methods called by CPython's fast convention, arguments told apart by the identity of their interned names.
//!
//! PyO3's own wrappers compare keyword names as text and count attachments: with five keywords that is half the price of a
//! decision. Here are the convention, the parsing and the registration; what a method does is safe code elsewhere.

use std::ffi::CStr;
use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::exceptions::PyTypeError;
use pyo3::panic::PanicException;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyType};
use pyo3::{Borrowed, PyClass, ffi};

/// Parameters in order: `positional` of them may be given by position, the first `required` must be given.
pub struct Signature<const N: usize> {
    method: &'static str,
    names: [&'static str; N],
    positional: usize,
    required: usize,
    interned: [Py<PyString>; N],
}

pub type Given<'a, 'py, const N: usize> = [Option<Borrowed<'a, 'py, PyAny>>; N];

impl<const N: usize> Signature<N> {
    pub fn new(
        py: Python<'_>,
        method: &'static str,
        names: [&'static str; N],
        positional: usize,
        required: usize,
    ) -> Self {
        let interned = names.map(|name| PyString::intern(py, name).unbind());
        Signature { method, names, positional, required, interned }
    }

    /// The arguments of one call, by parameter.
    #[inline]
    pub fn parse<'a, 'py>(&self, call: &Call<'a, 'py>) -> PyResult<Given<'a, 'py, N>> {
        let mut given: Given<'a, 'py, N> = [const { None }; N];
        if call.count > self.positional {
            return Err(self.too_many(call.count));
        }
        for (at, slot) in given.iter_mut().enumerate().take(call.count) {
            *slot = Some(call.argument(at));
        }
        for at in 0..call.keywords {
            let name = call.keyword(at);
            let parameter = match self.interned.iter().position(|known| known.as_ptr() == name.as_ptr()) {
                Some(parameter) => parameter,
                None => self.by_text(&name)?,
            };
            if given[parameter].replace(call.argument(call.count + at)).is_some() {
                return Err(self.error(&format!("got multiple values for argument '{}'", self.names[parameter])));
            }
        }
        if let Some(at) = given[..self.required].iter().position(Option::is_none) {
            return Err(self.error(&format!("missing required argument: '{}'", self.names[at])));
        }
        Ok(given)
    }

    /// A name that was put together at run time is equal, not identical.
    #[cold]
    fn by_text(&self, name: &Bound<'_, PyAny>) -> PyResult<usize> {
        let text = name.cast::<PyString>()?.to_string_lossy();
        self.names
            .iter()
            .position(|known| *known == text)
            .ok_or_else(|| self.error(&format!("got an unexpected keyword argument '{text}'")))
    }

    #[cold]
    fn too_many(&self, count: usize) -> PyErr {
        self.error(&format!("takes at most {} positional arguments ({count} given)", self.positional))
    }

    #[cold]
    fn error(&self, message: &str) -> PyErr {
        PyTypeError::new_err(format!("{}() {message}", self.method))
    }
}

/// One call's arguments as CPython lends them.
pub struct Call<'a, 'py> {
    py: Python<'py>,
    arguments: &'a [*mut ffi::PyObject],
    count: usize,
    names: *mut ffi::PyObject,
    keywords: usize,
}

impl<'a, 'py> Call<'a, 'py> {
    pub fn is_empty(&self) -> bool {
        self.arguments.is_empty()
    }

    /// The arguments of a call with just so many by position and none by name.
    #[inline]
    pub fn positional<const N: usize>(&self) -> Option<[Borrowed<'a, 'py, PyAny>; N]> {
        (self.count == N && self.keywords == 0).then(|| std::array::from_fn(|at| self.argument(at)))
    }

    #[inline]
    fn argument(&self, at: usize) -> Borrowed<'a, 'py, PyAny> {
        // SAFETY: the pointers of a call are live objects, lent for its duration, which `'a` stands for.
        unsafe { Borrowed::from_ptr(self.py, self.arguments[at]) }
    }

    #[inline]
    fn keyword(&self, at: usize) -> Borrowed<'a, 'py, PyAny> {
        // SAFETY: `names` is a tuple of `keywords` strings where that is not 0, and lives as long as the call.
        unsafe { Borrowed::from_ptr(self.py, ffi::PyTuple_GetItem(self.names, at as ffi::Py_ssize_t)) }
    }
}

/// A method written in safe code.
pub trait Method {
    type Owner: PyClass<Frozen = pyo3::pyclass::boolean_struct::True> + Sync;

    fn call<'py>(owner: &Bound<'py, Self::Owner>, call: &Call<'_, 'py>) -> PyResult<Py<PyAny>>;
}

unsafe extern "C" fn entry<M: Method>(
    owner: *mut ffi::PyObject,
    arguments: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls a method with the thread attached. PyO3's count of attachments is not raised: what is released
    // through `Py` in here is put off until it is, what is released through `Bound` is not.
    let py = unsafe { Python::assume_attached() };
    let result = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: a method descriptor checks that its first argument is an instance of the type it was made for (`register`).
        let owner = unsafe { Borrowed::from_ptr(py, owner).cast_unchecked::<M::Owner>() };
        // SAFETY: `names` is null or a tuple.
        let keywords = if names.is_null() { 0 } else { unsafe { ffi::PyTuple_Size(names) as usize } };
        let count = count as usize;
        let arguments = match count + keywords {
            0 => &[],
            // SAFETY: by the convention there are so many pointers, positional ones first.
            all => unsafe { std::slice::from_raw_parts(arguments, all) },
        };
        M::call(&owner, &Call { py, arguments, count, names, keywords })
    }));
    match result {
        Ok(Ok(made)) => made.into_ptr(),
        Ok(Err(error)) => {
            error.restore(py);
            std::ptr::null_mut()
        }
        Err(panic) => {
            let text = panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str));
            PanicException::new_err(text.unwrap_or("panic from Rust code").to_owned()).restore(py);
            std::ptr::null_mut()
        }
    }
}

/// Add `M` to its owner. `signature` is the text that `inspect.signature` reads, documentation behind it.
pub fn register<M: Method>(py: Python<'_>, name: &'static CStr, signature: &'static CStr) -> PyResult<()> {
    let owner: Bound<'_, PyType> = py.get_type::<M::Owner>();
    // A descriptor refers to its definition for ever.
    let definition = Box::leak(Box::new(ffi::PyMethodDef {
        ml_name: name.as_ptr(),
        ml_meth: ffi::PyMethodDefPointer { PyCFunctionFastWithKeywords: entry::<M> },
        ml_flags: ffi::METH_FASTCALL | ffi::METH_KEYWORDS,
        ml_doc: signature.as_ptr(),
    }));
    // SAFETY: `owner` is a type and `definition` lives for ever; the result is a new reference or null with an exception set.
    let descriptor =
        unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyDescr_NewMethod(owner.as_type_ptr(), definition))? };
    owner.setattr(PyString::from_bytes(py, name.to_bytes())?, descriptor)
}
