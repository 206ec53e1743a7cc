# cython: language_level=3, freethreading_compatible=True
"""The engine asked from Cython through its capsule; what is asked of it is asked without the GIL."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint16_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset

from roadstead.capi cimport *

cdef const roadstead_api *api = import_roadstead()
KINDS = ("nothing", "forward", "redirect", "direct_response", "passthrough", "refused", "not_found", "no_cluster")
OPS = ("set", "add", "remove", "add_if_absent")
ABI_VERSION = ROADSTEAD_ABI_VERSION


class Refused(Exception):
    """A call that did not end well: its status and message."""


cdef int told(roadstead_status status, roadstead_error *error) except -1 nogil:
    if status != ROADSTEAD_OK:
        with gil:
            raise Refused(<int>status, (<bytes>error.message).decode())
    return 0


cdef roadstead_error nothing() noexcept nogil:
    cdef roadstead_error error
    memset(&error, 0, sizeof(error))
    error.struct_size = sizeof(error)
    return error


cdef str text(roadstead_str given, str coding="utf-8"):
    return None if given.data == NULL else given.data[:given.len].decode(coding)


cdef roadstead_str lent(bytes given) noexcept:
    cdef roadstead_str none
    if given is None:
        none.data = NULL
        none.len = 0
        return none
    return roadstead_bytes(PyBytes_AS_STRING(given), PyBytes_GET_SIZE(given))


cdef list texts(const roadstead_str *given, size_t count):
    return [text(given[i]) for i in range(count)]


cdef list operations(const roadstead_header_op *given, size_t count):
    return [[OPS[given[i].op], text(given[i].name), text(given[i].value)] for i in range(count)]


cdef class Asking:
    """One engine, asked from one thread."""

    cdef roadstead_engine *engine
    cdef roadstead_snapshot *snapshot
    cdef roadstead_decision *decision

    def __cinit__(self, engine):
        cdef roadstead_error error = nothing()
        told(api.acquire(<void *>engine, &self.engine, &error), &error)
        with nogil:
            told(api.snapshot_acquire(self.engine, &self.snapshot, &error), &error)
            told(api.decision_new(self.engine, &self.decision, &error), &error)

    def __dealloc__(self):
        with nogil:
            api.decision_free(self.decision)
            api.snapshot_release(self.snapshot)
            api.engine_release(self.engine)

    def find(self, bytes host, uint16_t port):
        cdef roadstead_error error = nothing()
        cdef roadstead_service service
        cdef roadstead_str name = lent(host)
        cdef roadstead_status status
        memset(&service, 0, sizeof(service))
        service.struct_size = sizeof(service)
        with nogil:
            status = api.find(self.snapshot, name, port, &service, &error)
        if status == ROADSTEAD_NOT_FOUND:
            return None
        told(status, &error)
        return text(service.host)

    def decide(self, bint connection, bytes host, uint16_t port, bytes path, bytes method, bytes scheme, bytes source_ip,
               bytes sni, bytes original_host, uint16_t original_port, uint64_t draw, list headers, size_t picks):
        cdef roadstead_error error = nothing()
        cdef roadstead_request request
        cdef roadstead_answer answer
        cdef roadstead_str[64] reasons
        cdef roadstead_endpoint[8] endpoints
        cdef roadstead_status[8] statuses
        cdef roadstead_status status
        cdef size_t count = 0
        cdef roadstead_header *lines = <roadstead_header *>malloc((len(headers) + 1) * sizeof(roadstead_header))
        memset(&request, 0, sizeof(request))
        memset(&answer, 0, sizeof(answer))
        memset(&endpoints, 0, sizeof(endpoints))
        request.struct_size, answer.struct_size = sizeof(request), sizeof(answer)
        request.host, request.path, request.method = lent(host), lent(path), lent(method)
        request.scheme, request.source_ip, request.sni = lent(scheme), lent(source_ip), lent(sni)
        request.original_host, request.original_port = lent(original_host), original_port
        request.port, request.draw, request.flags = port, draw, ROADSTEAD_REQUEST_DRAW
        request.headers, request.header_count = lines, len(headers)
        for at, (name, value) in enumerate(headers):
            lines[at].name, lines[at].value = lent(name), lent(value)
        try:
            with nogil:
                if connection:
                    status = api.connect(self.decision, &request, &error)
                else:
                    status = api.route(self.decision, &request, &error)
                if status == ROADSTEAD_OK:
                    status = api.decision_answer(self.decision, &answer, &error)
                if status == ROADSTEAD_OK:
                    status = api.decision_reasons(self.decision, reasons, 64, &count, &error)
                if answer.kind in (ROADSTEAD_FORWARD, ROADSTEAD_PASSTHROUGH, ROADSTEAD_REFUSED_HOST):
                    for i in range(picks):
                        endpoints[i].struct_size = sizeof(roadstead_endpoint)
                        statuses[i] = api.pick(self.decision, NULL, &endpoints[i], NULL)
                else:
                    picks = 0
            told(status, &error)
            return {
                "kind": KINDS[answer.kind],
                "status": answer.status,
                "flags": text(answer.flags),
                "service": text(answer.service),
                "cluster": text(answer.cluster),
                "route": answer.route,
                "destination": answer.destination,
                "path": text(answer.path),
                "authority": text(answer.authority),
                "request_headers": operations(answer.request_ops, answer.request_op_count),
                "response_headers": operations(answer.response_ops, answer.response_op_count),
                "redirect": None if answer.location.data == NULL else [answer.status, text(answer.location)],
                "direct_response": None if answer.body.data == NULL else [answer.status, text(answer.body, "latin-1")],
                "fault": [answer.delay, answer.abort_status, answer.abort_grpc_status]
                if answer.delay > 0 or answer.abort_status or answer.abort_grpc_status >= 0
                else None,
                "mirrors": texts(answer.mirrors, answer.mirror_count),
                "set_cookies": texts(answer.set_cookies, answer.set_cookie_count),
                "hash": f"{answer.hash:016x}" if answer.has_hash else None,
                "application_tls": bool(answer.application_tls),
                "reasons": texts(reasons, count),
                "timeout": answer.timeout,
                "picks": [
                    f"{text(endpoints[i].address)}:{endpoints[i].port}"
                    if statuses[i] == ROADSTEAD_OK
                    else {ROADSTEAD_NO_HEALTHY_ENDPOINT: "NoHealthyEndpoint"}[statuses[i]]
                    for i in range(picks)
                ],
            }
        finally:
            free(lines)

    def retries(self):
        """(attempts, retry_on, per try timeout) of the last decision; None where it has none."""
        cdef roadstead_error error = nothing()
        cdef roadstead_retry retry
        cdef roadstead_status status
        memset(&retry, 0, sizeof(retry))
        retry.struct_size = sizeof(retry)
        with nogil:
            status = api.decision_retry(self.decision, &retry, &error)
        if status == ROADSTEAD_NOT_FOUND:
            return None
        told(status, &error)
        return retry.attempts, text(retry.retry_on), retry.per_try_timeout

    def tls(self):
        """(mode, server name, names to check, connect timeout) of the last decision; None where the mesh originates none."""
        cdef roadstead_error error = nothing()
        cdef roadstead_tls tls
        cdef roadstead_status status
        memset(&tls, 0, sizeof(tls))
        tls.struct_size = sizeof(tls)
        with nogil:
            status = api.decision_tls(self.decision, &tls, &error)
        if status == ROADSTEAD_NOT_FOUND:
            return None
        told(status, &error)
        names = texts(tls.subject_alt_names, tls.subject_alt_name_count)
        return text(tls.mode), text(tls.sni), names, api.decision_connect_timeout(self.decision)

    def lease(self, int end, uint16_t status):
        """Takes a lease on the last decision, gives it back, and says where it led."""
        cdef roadstead_error error = nothing()
        cdef roadstead_lease *lease
        cdef roadstead_endpoint endpoint
        memset(&endpoint, 0, sizeof(endpoint))
        endpoint.struct_size = sizeof(endpoint)
        with nogil:
            told(api.lease_take(self.decision, NULL, &lease, &error), &error)
            told(api.lease_endpoint(lease, &endpoint, &error), &error)
        where = f"{text(endpoint.address)}:{endpoint.port}"
        with nogil:
            told(api.lease_finish(lease, end, status, api.engine_now(self.engine), &error), &error)
            api.lease_free(lease)
        return where

    def load(self, bytes data):
        """What only a loaded engine can do."""
        cdef roadstead_error error = nothing()
        told(api.engine_reload(self.engine, <const uint8_t *>PyBytes_AS_STRING(data), len(data), &error), &error)


def hammer(engine, bytes host, uint16_t port, size_t times):
    """Nanoseconds for each route and pick of one request, without the GIL; for benchmarks and threads."""
    cdef roadstead_error error = nothing()
    cdef roadstead_engine *held
    cdef roadstead_decision *decision
    cdef roadstead_request request
    cdef roadstead_endpoint endpoint
    cdef roadstead_status status = ROADSTEAD_OK
    cdef int64_t begun, ended
    cdef size_t i
    memset(&request, 0, sizeof(request))
    memset(&endpoint, 0, sizeof(endpoint))
    request.struct_size, endpoint.struct_size = sizeof(request), sizeof(endpoint)
    request.host, request.port, request.flags = lent(host), port, ROADSTEAD_REQUEST_DRAW
    told(api.acquire(<void *>engine, &held, &error), &error)
    with nogil:
        told(api.decision_new(held, &decision, &error), &error)
        begun = api.engine_now(held)
        for i in range(times):
            request.draw = i
            status = api.route(decision, &request, &error)
            if status == ROADSTEAD_OK:
                status = api.pick(decision, NULL, &endpoint, &error)
            if status != ROADSTEAD_OK:
                break
        ended = api.engine_now(held)
        api.decision_free(decision)
        api.engine_release(held)
    told(status, &error)
    return (ended - begun) / <double>times
