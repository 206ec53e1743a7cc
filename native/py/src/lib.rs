//! `roadstead._core`: the native engine's Python face. The contract is `python/roadstead/_core.pyi`.

mod attach;
mod buffers;
mod builder;
mod capi;
mod cluster;
mod columns;
mod convert;
mod decision;
mod endpoint;
mod engine;
mod errors;
mod exchange;
mod fastcall;
mod headers;
mod known_keys;
mod lease;
mod memory;
mod numbers;
mod pick;
mod probe;
mod request;
mod scan;
mod service;
mod steps;
mod tally;
mod template;
mod yaml;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    module.add("NAME", "native")?;
    module.add_class::<engine::Engine>()?;
    module.add_class::<builder::Builder>()?;
    module.add_class::<template::Template>()?;
    module.add_class::<columns::HostColumn>()?;
    module.add_class::<service::Service>()?;
    module.add_class::<cluster::Cluster>()?;
    module.add_class::<endpoint::Endpoint>()?;
    module.add_class::<decision::Decision>()?;
    module.add_class::<exchange::Exchange>()?;
    module.add_class::<lease::RequestLease>()?;
    module.add_class::<lease::ConnectionLease>()?;
    module.add_class::<tally::Tally>()?;
    module.add_class::<probe::Probe>()?;
    module.add_function(wrap_pyfunction!(yaml::yaml_load, module)?)?;
    module.add_function(wrap_pyfunction!(yaml::yaml_forms, module)?)?;
    module.add_function(wrap_pyfunction!(yaml::yaml_positions, module)?)?;
    fastcall::register::<engine::Find>(py, c"find", c"find($self, host, port)\n--\n\n")?;
    fastcall::register::<engine::Route>(
        py,
        c"route",
        c"route($self, host, port=None, path='/', method='GET', headers=None, *, scheme=None, source_ip=None, \
          original_destination=None, draw=None)\n--\n\n",
    )?;
    fastcall::register::<pick::Pick>(py, c"pick", c"pick($self, *, hash_key=None, exclude=())\n--\n\n")?;
    fastcall::register::<tally::Count>(
        py,
        c"count",
        c"count($self, exchange, request_bytes=0, response_bytes=0, grpc_status=-1)\n--\n\n",
    )?;
    capi::register(module)?;
    forget_in_children(py)
}

/// What the parent holds is not held in a forked child, and its draws are its own.
fn forget_in_children(py: Python<'_>) -> PyResult<()> {
    let os = py.import(intern!(py, "os"))?;
    if let Some(register) = os.getattr_opt(intern!(py, "register_at_fork"))? {
        let after = PyDict::new(py);
        after.set_item(intern!(py, "after_in_child"), wrap_pyfunction!(engine::_forked, py)?)?;
        register.call((), Some(&after))?;
    }
    Ok(())
}
