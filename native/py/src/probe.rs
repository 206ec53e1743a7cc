//! The yardstick of the benchmarks: what a call costs that does nothing.

use pyo3::prelude::*;
use pyo3::types::PyString;

/// For benchmarks only: methods with the parameters of `Engine.route` and no work behind them.
#[pyclass(frozen, name = "_Probe", module = "roadstead._core")]
pub struct Probe;

/// The new object of a call.
#[pyclass(frozen, name = "_Empty", module = "roadstead._core")]
pub struct Empty;

#[pymethods]
impl Probe {
    #[new]
    fn new() -> Self {
        Probe
    }

    /// Nothing at all.
    fn nothing(&self) {}

    /// Takes what `Engine.route` takes and returns a new object.
    #[pyo3(signature = (host, port=None, path=None, method=None, headers=None, *, scheme=None, source_ip=None,
                        original_destination=None, draw=None))]
    #[expect(clippy::too_many_arguments, reason = "the signature that is measured")]
    fn empty(
        &self,
        host: &Bound<'_, PyString>,
        port: Option<u16>,
        path: Option<&Bound<'_, PyString>>,
        method: Option<&Bound<'_, PyString>>,
        headers: Option<&Bound<'_, PyAny>>,
        scheme: Option<&str>,
        source_ip: Option<&str>,
        original_destination: Option<(Bound<'_, PyString>, u16)>,
        draw: Option<u64>,
    ) -> Empty {
        let _ = (host, port, path, method, headers, scheme, source_ip, original_destination, draw);
        Empty
    }
}
