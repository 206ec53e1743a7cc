# Decisions from Cython, without linking and without the GIL:
#
#     from roadstead.capi cimport *
#     cdef const roadstead_api *api = import_roadstead()
#
# What everything means is said in roadstead.h; `roadstead.get_include()` is its folder.

from cpython.module cimport PyImport_ImportModule
from cpython.pycapsule cimport PyCapsule_Import
from libc.stddef cimport size_t
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t


cdef extern from "roadstead.h" nogil:
    ctypedef bint c_bool "bool"

    const uint32_t ROADSTEAD_ABI_VERSION
    const uint32_t ROADSTEAD_REQUEST_DRAW
    const uint32_t ROADSTEAD_REQUEST_NOW
    const uint32_t ROADSTEAD_OPTIONS_SEED
    const uint32_t ROADSTEAD_CHOICE_HASH
    const uint32_t ROADSTEAD_CHOICE_HASH_KEY
    const uint32_t ROADSTEAD_CHOICE_RETRY
    const uint32_t ROADSTEAD_CHOICE_PENDING
    const uint32_t ROADSTEAD_TERMS_TRUSTED
    const uint32_t ROADSTEAD_TERMS_ONCE
    const uint32_t ROADSTEAD_TERMS_STREAMED
    const uint32_t ROADSTEAD_TERMS_PENDING
    const uint32_t ROADSTEAD_TERMS_HASH
    const uint32_t ROADSTEAD_TERMS_HASH_KEY

    ctypedef enum roadstead_status:
        ROADSTEAD_OK
        ROADSTEAD_NULL
        ROADSTEAD_STRUCT_SIZE
        ROADSTEAD_UTF8
        ROADSTEAD_HANDLE
        ROADSTEAD_EMPTY
        ROADSTEAD_SNAPSHOT
        ROADSTEAD_REFUSED
        ROADSTEAD_NOT_FOUND
        ROADSTEAD_NO_ENDPOINT
        ROADSTEAD_NO_HEALTHY_ENDPOINT
        ROADSTEAD_OVERFLOW
        ROADSTEAD_RANGE
        ROADSTEAD_OBJECT
        ROADSTEAD_UNSUPPORTED
        ROADSTEAD_PANIC
        ROADSTEAD_REPORT

    ctypedef enum roadstead_kind:
        ROADSTEAD_NOTHING
        ROADSTEAD_FORWARD
        ROADSTEAD_REDIRECT
        ROADSTEAD_DIRECT_RESPONSE
        ROADSTEAD_PASSTHROUGH
        ROADSTEAD_REFUSED_HOST
        ROADSTEAD_NO_ROUTE
        ROADSTEAD_NO_CLUSTER

    ctypedef enum roadstead_address:
        ROADSTEAD_IP
        ROADSTEAD_HOSTNAME
        ROADSTEAD_UNIX

    ctypedef enum roadstead_health:
        ROADSTEAD_UNKNOWN
        ROADSTEAD_HEALTHY
        ROADSTEAD_UNHEALTHY
        ROADSTEAD_DRAINING
        ROADSTEAD_DEGRADED

    ctypedef enum roadstead_op:
        ROADSTEAD_SET
        ROADSTEAD_ADD
        ROADSTEAD_REMOVE
        ROADSTEAD_ADD_IF_ABSENT

    ctypedef enum roadstead_end:
        ROADSTEAD_END_OK
        ROADSTEAD_END_CONNECT_FAILURE
        ROADSTEAD_END_RESET
        ROADSTEAD_END_TIMEOUT
        ROADSTEAD_END_FAILURE
        ROADSTEAD_END_GRPC

    ctypedef enum roadstead_do:
        ROADSTEAD_DO_DELAY
        ROADSTEAD_DO_TRY
        ROADSTEAD_DO_FORWARD
        ROADSTEAD_DO_RESPOND
        ROADSTEAD_DO_NOTHING

    ctypedef enum roadstead_reset:
        ROADSTEAD_LOCAL_CONNECTION_FAILURE
        ROADSTEAD_REMOTE_CONNECTION_FAILURE
        ROADSTEAD_CONNECTION_TIMEOUT
        ROADSTEAD_CONNECTION_TERMINATION
        ROADSTEAD_LOCAL_RESET
        ROADSTEAD_REMOTE_RESET
        ROADSTEAD_REMOTE_REFUSED_STREAM_RESET
        ROADSTEAD_PROTOCOL_ERROR
        ROADSTEAD_RESET_OVERFLOW

    ctypedef struct roadstead_engine:
        pass

    ctypedef struct roadstead_snapshot:
        pass

    ctypedef struct roadstead_decision:
        pass

    ctypedef struct roadstead_lease:
        pass

    ctypedef struct roadstead_exchange:
        pass

    ctypedef struct roadstead_str:
        const char *data
        size_t len

    ctypedef struct roadstead_header:
        roadstead_str name
        roadstead_str value

    ctypedef struct roadstead_header_op:
        int32_t op
        roadstead_str name
        roadstead_str value

    ctypedef struct roadstead_stat:
        roadstead_str name
        int64_t value

    ctypedef struct roadstead_error:
        size_t struct_size
        int32_t status
        uint32_t line
        uint32_t column
        char message[500]

    ctypedef struct roadstead_options:
        size_t struct_size
        uint32_t flags
        uint64_t seed
        int64_t (*clock)(void *context) noexcept nogil
        void *context

    ctypedef struct roadstead_request:
        size_t struct_size
        roadstead_str host
        roadstead_str path
        roadstead_str method
        roadstead_str scheme
        roadstead_str source_ip
        roadstead_str sni
        roadstead_str original_host
        const roadstead_header *headers
        size_t header_count
        uint64_t draw
        int64_t now
        uint32_t flags
        uint16_t port
        uint16_t original_port

    ctypedef struct roadstead_service:
        size_t struct_size
        roadstead_str host
        roadstead_str namespace_
        roadstead_str port_name
        int32_t protocol

    ctypedef struct roadstead_answer:
        size_t struct_size
        int32_t kind
        uint32_t status
        roadstead_str flags
        roadstead_str cluster
        roadstead_str service
        int32_t route
        int32_t destination
        double timeout
        roadstead_str path
        roadstead_str authority
        roadstead_str location
        roadstead_str body
        const roadstead_header_op *request_ops
        size_t request_op_count
        const roadstead_header_op *response_ops
        size_t response_op_count
        const roadstead_str *mirrors
        size_t mirror_count
        const roadstead_str *set_cookies
        size_t set_cookie_count
        double delay
        uint32_t abort_status
        int32_t abort_grpc_status
        uint64_t draw
        uint64_t hash
        c_bool has_hash
        c_bool application_tls

    ctypedef struct roadstead_retry:
        size_t struct_size
        uint32_t attempts
        roadstead_str retry_on
        const uint32_t *status_codes
        size_t status_code_count
        double per_try_timeout
        double backoff

    ctypedef struct roadstead_tls:
        size_t struct_size
        roadstead_str mode
        roadstead_str sni
        roadstead_str verify
        roadstead_str ca
        roadstead_str certificate
        roadstead_str private_key
        roadstead_str credential_name
        const roadstead_str *subject_alt_names
        size_t subject_alt_name_count
        const roadstead_str *alpn
        size_t alpn_count
        c_bool auto_sni

    ctypedef struct roadstead_endpoint:
        size_t struct_size
        roadstead_str address
        roadstead_str hostname
        roadstead_str locality
        int32_t kind
        int32_t health
        uint32_t priority
        uint32_t weight
        uint16_t port

    ctypedef struct roadstead_choice:
        size_t struct_size
        uint32_t flags
        uint64_t hash
        roadstead_str hash_key
        const roadstead_endpoint *exclude
        size_t exclude_count

    ctypedef struct roadstead_terms:
        size_t struct_size
        uint32_t flags
        uint64_t hash
        roadstead_str hash_key

    ctypedef struct roadstead_step:
        size_t struct_size
        int32_t what
        uint32_t attempts
        int64_t deadline
        int64_t limit
        roadstead_str flags
        uint32_t status
        roadstead_str details
        const roadstead_header *headers
        size_t header_count
        roadstead_str body
        const roadstead_str *mirrors
        size_t mirror_count
        c_bool has_deadline
        c_bool has_limit
        c_bool reset

    ctypedef struct roadstead_api:
        uint32_t abi_version
        size_t struct_size
        roadstead_status (*acquire)(void *object, roadstead_engine **out, roadstead_error *error) noexcept nogil
        roadstead_status (*engine_reload)(
            roadstead_engine *engine, const uint8_t *data, size_t len, roadstead_error *error
        ) noexcept nogil
        roadstead_status (*engine_set_endpoints)(
            roadstead_engine *engine, roadstead_str cluster, const uint8_t *data, size_t len, roadstead_error *error
        ) noexcept nogil
        roadstead_status (*engine_set_health)(
            roadstead_engine *engine, roadstead_str cluster, roadstead_str address, uint16_t port, int32_t health, roadstead_error *error
        ) noexcept nogil
        uint64_t (*engine_version)(const roadstead_engine *engine) noexcept nogil
        int64_t (*engine_now)(const roadstead_engine *engine) noexcept nogil
        uint64_t (*engine_draw)(const roadstead_engine *engine) noexcept nogil
        int64_t (*engine_sweep)(const roadstead_engine *engine, int64_t now) noexcept nogil
        roadstead_status (*engine_release)(roadstead_engine *engine) noexcept nogil
        roadstead_status (*snapshot_acquire)(
            const roadstead_engine *engine, roadstead_snapshot **out, roadstead_error *error
        ) noexcept nogil
        roadstead_status (*snapshot_release)(roadstead_snapshot *snapshot) noexcept nogil
        roadstead_status (*find)(
            const roadstead_snapshot *snapshot, roadstead_str host, uint16_t port, roadstead_service *service, roadstead_error *error
        ) noexcept nogil
        roadstead_status (*snapshot_clusters)(
            const roadstead_snapshot *snapshot, roadstead_str *out, size_t room, size_t *count, roadstead_error *error
        ) noexcept nogil
        roadstead_status (*snapshot_endpoints)(
            const roadstead_snapshot *snapshot, roadstead_str cluster, roadstead_endpoint *out, size_t room, size_t *count, roadstead_error *error
        ) noexcept nogil
        roadstead_status (*snapshot_stats)(
            const roadstead_snapshot *snapshot, roadstead_str cluster, roadstead_stat *out, size_t room, size_t *count, roadstead_error *error
        ) noexcept nogil
        roadstead_status (*snapshot_endpoint_stats)(
            const roadstead_snapshot *snapshot, roadstead_str cluster, size_t index, roadstead_stat *out, size_t room, size_t *count, roadstead_error *error
        ) noexcept nogil
        roadstead_status (*decision_new)(
            const roadstead_engine *engine, roadstead_decision **out, roadstead_error *error
        ) noexcept nogil
        roadstead_status (*decision_free)(roadstead_decision *decision) noexcept nogil
        roadstead_status (*route)(
            roadstead_decision *decision, const roadstead_request *request, roadstead_error *error
        ) noexcept nogil
        roadstead_status (*connect)(
            roadstead_decision *decision, const roadstead_request *request, roadstead_error *error
        ) noexcept nogil
        roadstead_kind (*decision_kind)(const roadstead_decision *decision) noexcept nogil
        roadstead_str (*decision_cluster)(const roadstead_decision *decision) noexcept nogil
        roadstead_status (*decision_answer)(
            roadstead_decision *decision, roadstead_answer *out, roadstead_error *error
        ) noexcept nogil
        roadstead_status (*decision_retry)(
            roadstead_decision *decision, roadstead_retry *out, roadstead_error *error
        ) noexcept nogil
        roadstead_status (*decision_tls)(
            roadstead_decision *decision, roadstead_tls *out, roadstead_error *error
        ) noexcept nogil
        double (*decision_connect_timeout)(roadstead_decision *decision) noexcept nogil
        roadstead_status (*decision_reasons)(
            roadstead_decision *decision, roadstead_str *out, size_t room, size_t *count, roadstead_error *error
        ) noexcept nogil
        roadstead_status (*decision_apply)(
            const roadstead_decision *decision, c_bool response, const roadstead_header *headers, size_t header_count, roadstead_header *out, size_t room, size_t *count, roadstead_error *error
        ) noexcept nogil
        roadstead_status (*pick)(
            roadstead_decision *decision, const roadstead_choice *choice, roadstead_endpoint *out, roadstead_error *error
        ) noexcept nogil
        roadstead_status (*lease_take)(
            roadstead_decision *decision, const roadstead_choice *choice, roadstead_lease **out, roadstead_error *error
        ) noexcept nogil
        roadstead_status (*lease_endpoint)(
            const roadstead_lease *lease, roadstead_endpoint *out, roadstead_error *error
        ) noexcept nogil
        roadstead_status (*lease_ready)(const roadstead_lease *lease, roadstead_error *error) noexcept nogil
        roadstead_status (*lease_finish)(
            const roadstead_lease *lease, int32_t end, uint16_t status, int64_t now, roadstead_error *error
        ) noexcept nogil
        roadstead_status (*lease_free)(roadstead_lease *lease) noexcept nogil
        roadstead_status (*exchange_begin)(
            const roadstead_decision *decision, const roadstead_terms *terms, int64_t now, roadstead_exchange **out, roadstead_error *error
        ) noexcept nogil
        roadstead_status (*exchange_mirror)(
            const roadstead_exchange *exchange, roadstead_str cluster, int64_t now, roadstead_exchange **out, roadstead_error *error
        ) noexcept nogil
        roadstead_status (*exchange_step)(
            const roadstead_exchange *exchange, roadstead_step *out, roadstead_error *error
        ) noexcept nogil
        roadstead_decision *(*exchange_decision)(const roadstead_exchange *exchange) noexcept nogil
        roadstead_status (*exchange_endpoint)(
            const roadstead_exchange *exchange, roadstead_endpoint *out, roadstead_error *error
        ) noexcept nogil
        roadstead_status (*exchange_apply)(
            roadstead_exchange *exchange, const roadstead_header *headers, size_t header_count, roadstead_header *out, size_t room, size_t *count, roadstead_error *error
        ) noexcept nogil
        roadstead_status (*exchange_received)(
            roadstead_exchange *exchange, int64_t now, roadstead_step *out, roadstead_error *error
        ) noexcept nogil
        roadstead_status (*exchange_ready)(
            roadstead_exchange *exchange, int64_t now, roadstead_step *out, roadstead_error *error
        ) noexcept nogil
        roadstead_status (*exchange_response)(
            roadstead_exchange *exchange, uint16_t status, const roadstead_header *headers, size_t header_count, c_bool end_stream, int64_t now, roadstead_step *out, roadstead_error *error
        ) noexcept nogil
        roadstead_status (*exchange_ended)(
            roadstead_exchange *exchange, int64_t now, roadstead_step *out, roadstead_error *error
        ) noexcept nogil
        roadstead_status (*exchange_reset)(
            roadstead_exchange *exchange, int32_t reason, c_bool sent, int64_t now, roadstead_step *out, roadstead_error *error
        ) noexcept nogil
        roadstead_status (*exchange_expired)(
            roadstead_exchange *exchange, int64_t now, roadstead_step *out, roadstead_error *error
        ) noexcept nogil
        roadstead_status (*exchange_cancel)(
            roadstead_exchange *exchange, int64_t now, roadstead_step *out, roadstead_error *error
        ) noexcept nogil
        roadstead_status (*exchange_once)(roadstead_exchange *exchange, roadstead_error *error) noexcept nogil
        roadstead_status (*exchange_free)(roadstead_exchange *exchange) noexcept nogil


cdef inline roadstead_str roadstead_bytes(const char *data, size_t length) noexcept nogil:
    """Text that lives as long as its decision is used, as the header says."""
    cdef roadstead_str made
    made.data = data
    made.len = length
    return made


cdef inline const roadstead_api *import_roadstead() except NULL:
    """The functions of the native engine. ImportError where this process has none, or one of another version."""
    # A capsule is looked for among attributes, which a module is once it was imported.
    PyImport_ImportModule("roadstead._core")
    cdef const roadstead_api *api = <const roadstead_api *>PyCapsule_Import("roadstead._core._C_API", 0)
    if api.abi_version != ROADSTEAD_ABI_VERSION or api.struct_size < sizeof(roadstead_api):
        raise ImportError(f"roadstead has C interface {api.abi_version}; this module was built for {ROADSTEAD_ABI_VERSION}")
    return api
