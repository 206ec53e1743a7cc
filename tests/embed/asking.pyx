# cython: language_level=3, freethreading_compatible=True
"""The engine asked from Cython through its capsule; what is asked of it is asked without the GIL."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t
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


cdef dict numbers(const roadstead_stat *given, size_t count):
    return {text(given[i].name): given[i].value for i in range(count)}


cdef list stepped(roadstead_exchange *exchange, const roadstead_step *step):
    """A step as the corpus writes it."""
    cdef roadstead_error error = nothing()
    cdef roadstead_endpoint endpoint
    deadline = step.deadline if step.has_deadline else None
    headers = [[text(step.headers[i].name), text(step.headers[i].value)] for i in range(step.header_count)]
    if step.what == ROADSTEAD_DO_DELAY:
        return ["Delay", deadline]
    if step.what == ROADSTEAD_DO_TRY:
        memset(&endpoint, 0, sizeof(endpoint))
        endpoint.struct_size = sizeof(endpoint)
        told(api.exchange_endpoint(exchange, &endpoint, &error), &error)
        where = f"{text(endpoint.address)}:{endpoint.port}"
        return ["Try", where, step.attempts, deadline, headers, texts(step.mirrors, step.mirror_count)]
    if step.what == ROADSTEAD_DO_FORWARD:
        return ["Forward", step.status, text(step.flags), deadline]
    if step.what == ROADSTEAD_DO_RESPOND:
        return ["Respond", step.status, headers, text(step.body, "latin-1"), text(step.flags), text(step.details)]
    return ["Done", step.status, text(step.flags), text(step.details), bool(step.reset)]


cdef class Asking:
    """One engine, asked from one thread."""

    cdef roadstead_engine *engine
    cdef roadstead_snapshot *snapshot
    cdef roadstead_decision *decision
    # What the last request pointed to: it stays for as long as its decision is used.
    cdef roadstead_header *lines
    cdef object kept

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
        free(self.lines)

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
        free(self.lines)
        self.lines = <roadstead_header *>malloc((len(headers) + 1) * sizeof(roadstead_header))
        self.kept = (host, path, method, scheme, source_ip, sni, original_host, headers)
        memset(&request, 0, sizeof(request))
        memset(&answer, 0, sizeof(answer))
        memset(&endpoints, 0, sizeof(endpoints))
        request.struct_size, answer.struct_size = sizeof(request), sizeof(answer)
        request.host, request.path, request.method = lent(host), lent(path), lent(method)
        request.scheme, request.source_ip, request.sni = lent(scheme), lent(source_ip), lent(sni)
        request.original_host, request.original_port = lent(original_host), original_port
        request.port, request.draw, request.flags = port, draw, ROADSTEAD_REQUEST_DRAW
        request.headers, request.header_count = self.lines, len(headers)
        for at, (name, value) in enumerate(headers):
            self.lines[at].name, self.lines[at].value = lent(name), lent(value)
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

    def carried(self, uint32_t flags, list reports):
        """The steps of the last decision's exchange over its reports, each (instant, name, number, more, header lines)."""
        cdef roadstead_error error = nothing()
        cdef roadstead_exchange *exchange
        cdef roadstead_terms terms
        cdef roadstead_step step
        cdef int64_t now
        cdef uint16_t value
        cdef bint more
        cdef roadstead_header[8] headers
        memset(&terms, 0, sizeof(terms))
        memset(&step, 0, sizeof(step))
        terms.struct_size, step.struct_size, terms.flags = sizeof(terms), sizeof(step), flags
        with nogil:
            told(api.exchange_begin(self.decision, &terms, 0, &exchange, &error), &error)
            told(api.exchange_step(exchange, &step, &error), &error)
        steps = [stepped(exchange, &step)]
        for now, name, value, more, lines in reports:
            if name == "response":
                for at, (key, line) in enumerate(lines):
                    headers[at].name, headers[at].value = lent(key), lent(line)
                told(api.exchange_response(exchange, value, headers, len(lines), not more, now, &step, &error), &error)
            elif name == "reset":
                told(api.exchange_reset(exchange, value, True, now, &step, &error), &error)
            elif name == "received":
                told(api.exchange_received(exchange, now, &step, &error), &error)
            elif name == "ready":
                told(api.exchange_ready(exchange, now, &step, &error), &error)
            elif name == "ended":
                told(api.exchange_ended(exchange, now, &step, &error), &error)
            elif name == "cancel":
                told(api.exchange_cancel(exchange, now, &step, &error), &error)
            else:
                told(api.exchange_expired(exchange, now, &step, &error), &error)
            steps.append(stepped(exchange, &step))
        with nogil:
            api.exchange_cancel(exchange, 0, NULL, NULL)
            api.exchange_free(exchange)
        return steps

    def ejected(self, bytes host, uint16_t port, list steps):
        """What steps of outlier detection give, each (instant, what, how), and what is told of the cluster then."""
        cdef roadstead_error error = nothing()
        cdef roadstead_request request
        cdef roadstead_lease *lease
        cdef roadstead_endpoint endpoint
        cdef roadstead_str cluster, address
        cdef roadstead_stat[64] stats
        cdef int64_t now
        cdef size_t count = 0, endpoints = 0, i
        cdef int end
        cdef uint16_t status
        memset(&request, 0, sizeof(request))
        memset(&endpoint, 0, sizeof(endpoint))
        request.struct_size, endpoint.struct_size = sizeof(request), sizeof(endpoint)
        request.host, request.port = lent(host), port
        told(api.route(self.decision, &request, &error), &error)
        request.flags = ROADSTEAD_REQUEST_DRAW
        answers = []
        for number, (now, what, how) in enumerate(steps):
            if what == "sweep":
                next = api.engine_sweep(self.engine, now)
                answers.append(None if next < 0 else next)
            elif what == "health":
                kept = how[0].encode()
                cluster, address = api.decision_cluster(self.decision), lent(kept)
                told(api.engine_set_health(self.engine, cluster, address, how[1], how[2], &error), &error)
                answers.append(None)
            else:
                request.draw, end, status = number, how[0], how[1]
                told(api.route(self.decision, &request, &error), &error)
                taken = api.lease_take(self.decision, NULL, &lease, &error)
                if taken == ROADSTEAD_NO_HEALTHY_ENDPOINT:
                    answers.append("NoHealthyEndpoint")
                    continue
                told(taken, &error)
                with nogil:
                    told(api.lease_finish(lease, end, status, now, &error), &error)
                    told(api.lease_endpoint(lease, &endpoint, &error), &error)
                answers.append(f"{text(endpoint.address)}:{endpoint.port}")
                api.lease_free(lease)
        cluster = api.decision_cluster(self.decision)
        told(api.snapshot_stats(self.snapshot, cluster, stats, 64, &count, &error), &error)
        of_cluster = numbers(stats, count)
        told(api.snapshot_endpoints(self.snapshot, cluster, NULL, 0, &endpoints, &error), &error)
        of_endpoints = []
        for i in range(endpoints):
            told(api.snapshot_endpoint_stats(self.snapshot, cluster, i, stats, 64, &count, &error), &error)
            of_endpoints.append(numbers(stats, count))
        of_cluster = {name: value for name, value in of_cluster.items() if name.startswith("outlier_detection.")}
        return {"steps": answers, "stats": of_cluster, "endpoints": of_endpoints}

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
