//! `Tally`: requests that are over, counted by class; what a class is about is made once, in Python.

use std::sync::Arc;

use pyo3::Borrowed;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyString, PyTuple};
use roadstead_core::exchange::Step;
use roadstead_core::tally::{self, Class};

use crate::decision::Decision;
use crate::errors;
use crate::exchange::Exchange;
use crate::fastcall::{Call, Method, Signature};

const NANOSECONDS: f64 = 1e6;
const NONE_TOLD: i32 = -1;

#[pyclass(frozen, weakref, module = "roadstead._core")]
pub struct Tally {
    core: tally::Tally<Arc<Py<PyAny>>>,
    describe: Py<PyAny>,
}

/// What a call tells beside the exchange.
struct Told<'a> {
    status: u16,
    flags: &'a str,
    grpc: bool,
    grpc_status: i32,
    numbers: [f64; tally::NUMBERS],
}

impl Tally {
    fn told(&self, py: Python<'_>, decision: &Bound<'_, Decision>, told: &Told<'_>) -> PyResult<()> {
        let own = decision.get();
        let cluster = own.core.cluster_name();
        let request;
        let authority = if cluster.starts_with("outbound|") {
            ""
        } else {
            request = own.request(py)?;
            own.core.authority(&request)
        };
        let Told { status, flags, grpc, grpc_status, numbers } = *told;
        let class = Class { cluster, kind: own.core.kind, authority, status, flags, grpc, grpc_status };
        if self.core.count(&class, numbers) {
            return Ok(());
        }
        let class = self.core.new_class(&class);
        if !self.core.count(&class, numbers) {
            // Nobody else waits while Python runs.
            let about = self.describe.bind(py).call1((decision, class.authority))?;
            self.core.add(&class, Arc::new(about.unbind()));
            self.core.count(&class, numbers);
        }
        Ok(())
    }
}

/// `Tally.count`.
pub struct Count;

impl Method for Count {
    type Owner = Tally;

    #[inline]
    fn call<'py>(owner: &Bound<'py, Tally>, call: &Call<'_, 'py>) -> PyResult<Py<PyAny>> {
        let py = owner.py();
        let [exchange, request_bytes, response_bytes, grpc_status] = match call.positional() {
            Some([exchange, request_bytes, response_bytes]) => {
                [Some(exchange), Some(request_bytes), Some(response_bytes), None]
            }
            None => {
                static SIGNATURE: PyOnceLock<Signature<4>> = PyOnceLock::new();
                let names = ["exchange", "request_bytes", "response_bytes", "grpc_status"];
                SIGNATURE.get_or_init(py, || Signature::new(py, "count", names, 4, 1)).parse(call)?
            }
        };
        let exchange = exchange.as_deref().expect("is required").cast::<Exchange>()?.get();
        let number = |given: Option<Borrowed<'_, 'py, PyAny>>| given.map_or(Ok(0), |given| given.extract::<u64>());
        let (request_bytes, response_bytes) = (number(request_bytes)? as f64, number(response_bytes)? as f64);
        let grpc_status = grpc_status.map_or(Ok(NONE_TOLD), |given| given.extract())?;
        exchange.once_over(py, |core, lasted| {
            let Some(status) = status_of(core.step()) else {
                return Err(errors::engine(py, "count: the exchange is not over"));
            };
            let flags = core.flags();
            let numbers = [lasted as f64 / NANOSECONDS, request_bytes, response_bytes];
            let told = Told { status, flags: &flags, grpc: core.steering().grpc, grpc_status, numbers };
            owner.get().told(py, exchange.decision.bind(py), &told)
        })?;
        Ok(py.None())
    }
}

fn status_of(step: &Step) -> Option<u16> {
    match step {
        Step::Respond(reply) => Some(reply.status),
        Step::Done { status, .. } => Some(*status),
        _ => None,
    }
}

#[pymethods]
impl Tally {
    #[new]
    fn new(describe: Py<PyAny>, bounds: Vec<f64>) -> Self {
        Tally { core: tally::Tally::new(bounds.into()), describe }
    }

    #[pyo3(
        signature = (
            decision, status, flags="", *, nanoseconds, request_bytes=0, response_bytes=0, grpc=false, grpc_status=-1
        ),
        text_signature = "($self, decision, status, flags='', *, nanoseconds, request_bytes=0, response_bytes=0, \
                          grpc=False, grpc_status=-1)"
    )]
    #[expect(clippy::too_many_arguments, reason = "one request's numbers")]
    fn add(
        &self,
        decision: &Bound<'_, Decision>,
        status: u16,
        flags: &str,
        nanoseconds: u64,
        request_bytes: u64,
        response_bytes: u64,
        grpc: bool,
        grpc_status: i32,
    ) -> PyResult<()> {
        let numbers = [nanoseconds as f64 / NANOSECONDS, request_bytes as f64, response_bytes as f64];
        self.told(decision.py(), decision, &Told { status, flags, grpc, grpc_status, numbers })
    }

    fn read<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyTuple>>> {
        let row = |cell: &tally::Cell<Arc<Py<PyAny>>>| {
            let buckets = cell.buckets.each_ref().map(|row| PyTuple::new(py, row.iter()));
            let [first, second, third] = buckets;
            let flags = PyString::new(py, &cell.flags);
            let (about, sums) = (cell.about.bind(py), PyTuple::new(py, cell.sums)?);
            let buckets = (first?, second?, third?);
            (about, cell.status, flags, cell.grpc, cell.grpc_status, cell.count, sums, buckets).into_pyobject(py)
        };
        self.core.read().iter().map(row).collect()
    }
}
