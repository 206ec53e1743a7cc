/* roadstead: where a request goes under an Istio configuration, asked from C, C++ and Cython.
 *
 * Every call that can fail returns a roadstead_status and takes a place for the message (or NULL). Strings are pointer and
 * length; how long they live stands beside each. Structs begin with their size, which the caller sets; later versions append
 * fields, so what a program built with an older header does not know stays away. Handles are freed once: using or freeing one
 * again is undefined, even where it is noticed (ROADSTEAD_HANDLE). No call unwinds, keeps a lock while it returns, does I/O or
 * starts a thread; all but those that make something allocate nothing they do not need.
 *
 * Linked with libroadstead, or, from Python's module without linking, through the table of functions in the capsule
 * "roadstead._core._C_API" (import roadstead._core first; roadstead/capi.pxd does). Handles of one are nothing to the other.
 *
 * Made from native/capi by cbindgen; see its tests. Licensed under the Apache License 2.0. */

#ifndef ROADSTEAD_H
#define ROADSTEAD_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

// Version of this interface. 0: anything may change until roadstead 1.0; a program asks for the version it was built with.
#define ROADSTEAD_ABI_VERSION 0

// Version of the bytes that `roadstead_engine_load` reads.
#define ROADSTEAD_SNAPSHOT_FORMAT 1

// `roadstead_request.flags`: `draw` is given. Without it the engine draws, from a generator of the calling thread.
#define ROADSTEAD_REQUEST_DRAW 1

// `roadstead_request.flags`: `now` is given. Without it the engine's clock is read where the time matters.
#define ROADSTEAD_REQUEST_NOW 2

// `roadstead_options.flags`: `seed` is given, so that a run can be repeated. Without it the system's entropy is used.
#define ROADSTEAD_OPTIONS_SEED 1

// `roadstead_choice.flags`: `hash` is the hash itself.
#define ROADSTEAD_CHOICE_HASH 1

// `roadstead_choice.flags`: `hash_key` is hashed as Envoy would. Without either, the route's hash policies decide.
#define ROADSTEAD_CHOICE_HASH_KEY 2

// `roadstead_choice.flags`, for `roadstead_lease_take`: a retry, which counts against max_retries too.
#define ROADSTEAD_CHOICE_RETRY 4

// `roadstead_choice.flags`, for `roadstead_lease_take`: the request waits for a connection first, and counts against
// max_pending_requests instead of max_requests until `roadstead_lease_ready`.
#define ROADSTEAD_CHOICE_PENDING 8

// `roadstead_terms.flags`: the request comes from who may steer: its x-envoy- headers are read.
#define ROADSTEAD_TERMS_TRUSTED 1

// `roadstead_terms.flags`: the request cannot be sent again from its beginning, so nothing is tried twice.
#define ROADSTEAD_TERMS_ONCE 2

// `roadstead_terms.flags`: the request is not here as a whole; its time limits count from `roadstead_exchange_received`.
#define ROADSTEAD_TERMS_STREAMED 4

// `roadstead_terms.flags`: tries wait for a connection first, and count against max_pending_requests until
// `roadstead_exchange_ready`.
#define ROADSTEAD_TERMS_PENDING 8

// `roadstead_terms.flags`: `hash` is the hash itself.
#define ROADSTEAD_TERMS_HASH 16

// `roadstead_terms.flags`: `hash_key` is hashed as Envoy would.
#define ROADSTEAD_TERMS_HASH_KEY 32

// How a call ended. More may come; those that are here keep their numbers.
typedef enum roadstead_status {
  // Done.
  ROADSTEAD_OK = 0,
  // A pointer that must be given is NULL.
  ROADSTEAD_NULL = 1,
  // A `struct_size` is smaller than version 0 of that struct, or was not set.
  ROADSTEAD_STRUCT_SIZE = 2,
  // A string is not UTF-8.
  ROADSTEAD_UTF8 = 3,
  // The handle is of another kind, of another table of functions, or was freed.
  ROADSTEAD_HANDLE = 4,
  // The decision holds none yet: `roadstead_route` or `roadstead_connect` comes first.
  ROADSTEAD_EMPTY = 5,
  // The bytes are no snapshot that this version reads; `line` and `column` say where.
  ROADSTEAD_SNAPSHOT = 6,
  // The engine refused a value (a regular expression outside RE2, a table size that is no prime …).
  ROADSTEAD_REFUSED = 7,
  // There is no such service, cluster, endpoint or fact.
  ROADSTEAD_NOT_FOUND = 8,
  // The decision has no endpoint: this process answers by itself (redirect, direct response).
  ROADSTEAD_NO_ENDPOINT = 9,
  // No endpoint is healthy (Envoy: 503 UH), or there is no cluster.
  ROADSTEAD_NO_HEALTHY_ENDPOINT = 10,
  // A circuit breaker is open (Envoy: 503 UO); `message` names the limit.
  ROADSTEAD_OVERFLOW = 11,
  // A number or code is out of range.
  ROADSTEAD_RANGE = 12,
  // The object is no engine and has none.
  ROADSTEAD_OBJECT = 13,
  // This table of functions cannot do that (it was loaded from a snapshot, or is Python's).
  ROADSTEAD_UNSUPPORTED = 14,
  // A defect of roadstead: a panic was caught. What was published stays as it was.
  ROADSTEAD_PANIC = 15,
  // A report does not fit what the exchange is at; nothing has changed.
  ROADSTEAD_REPORT = 16,
} roadstead_status;

// What became of a request or connection.
typedef enum roadstead_kind {
  // Nothing was decided yet, or the handle is none.
  ROADSTEAD_NOTHING = 0,
  // To an endpoint of the cluster.
  ROADSTEAD_FORWARD = 1,
  // Answered here: `status` and `location`.
  ROADSTEAD_REDIRECT = 2,
  // Answered here: `status` and `body`.
  ROADSTEAD_DIRECT_RESPONSE = 3,
  // The host is unknown and let through to where the caller wanted to go.
  ROADSTEAD_PASSTHROUGH = 4,
  // The host is unknown and refused (502, REGISTRY_ONLY).
  ROADSTEAD_REFUSED_HOST = 5,
  // No rule takes the request (404).
  ROADSTEAD_NO_ROUTE = 6,
  // The rule's cluster does not exist (503).
  ROADSTEAD_NO_CLUSTER = 7,
} roadstead_kind;

// What an endpoint's `address` is.
typedef enum roadstead_address {
  ROADSTEAD_IP = 0,
  // A name; the system resolves it.
  ROADSTEAD_HOSTNAME = 1,
  // The path of a unix socket; the port is 0.
  ROADSTEAD_UNIX = 2,
} roadstead_address;

// Health of an endpoint.
typedef enum roadstead_health {
  // Nothing is known, which counts as healthy. As a mark: it is taken away.
  ROADSTEAD_UNKNOWN = 0,
  ROADSTEAD_HEALTHY = 1,
  ROADSTEAD_UNHEALTHY = 2,
  // Unhealthy, and not counted.
  ROADSTEAD_DRAINING = 3,
  ROADSTEAD_DEGRADED = 4,
} roadstead_health;

// What is done to a header.
typedef enum roadstead_op {
  // The first line of that name is replaced and the others go; without one it is added.
  ROADSTEAD_SET = 0,
  // A line is added at the end.
  ROADSTEAD_ADD = 1,
  // All lines of that name go.
  ROADSTEAD_REMOVE = 2,
  // Added where no line of that name is there.
  ROADSTEAD_ADD_IF_ABSENT = 3,
} roadstead_op;

// How a lease ended, where no HTTP status says it.
typedef enum roadstead_end {
  // `status` says it; without one the try or connection worked.
  ROADSTEAD_END_OK = 0,
  // The connection could not be made, its time limit included.
  ROADSTEAD_END_CONNECT_FAILURE = 1,
  // The stream or connection was reset.
  ROADSTEAD_END_RESET = 2,
  // The try's or request's time was up.
  ROADSTEAD_END_TIMEOUT = 3,
  // Another failure of local origin.
  ROADSTEAD_END_FAILURE = 4,
  // `status` is the gRPC status in the response's headers.
  ROADSTEAD_END_GRPC = 5,
} roadstead_end;

// What an exchange says is to be done.
typedef enum roadstead_do {
  // Wait until `deadline`, then `roadstead_exchange_expired`: an injected fault, or the back-off before the next try.
  ROADSTEAD_DO_DELAY = 0,
  // Send the request to `roadstead_exchange_endpoint`, then report the response or what broke, or that `deadline` passed.
  ROADSTEAD_DO_TRY = 1,
  // Pass the response on as it comes; report its end, what broke, or that `deadline` passed.
  ROADSTEAD_DO_FORWARD = 2,
  // It is over: answer with `status`, `headers` (the rule's operations on responses are still to be done) and `body`.
  ROADSTEAD_DO_RESPOND = 3,
  // It is over: the response that was passed on is the answer.
  ROADSTEAD_DO_NOTHING = 4,
} roadstead_do;

// Why a try broke, in Envoy's words.
typedef enum roadstead_reset {
  ROADSTEAD_LOCAL_CONNECTION_FAILURE = 0,
  // A refused connection.
  ROADSTEAD_REMOTE_CONNECTION_FAILURE = 1,
  ROADSTEAD_CONNECTION_TIMEOUT = 2,
  // The peer closed it.
  ROADSTEAD_CONNECTION_TERMINATION = 3,
  ROADSTEAD_LOCAL_RESET = 4,
  ROADSTEAD_REMOTE_RESET = 5,
  ROADSTEAD_REMOTE_REFUSED_STREAM_RESET = 6,
  ROADSTEAD_PROTOCOL_ERROR = 7,
  // A limit of the caller's own.
  ROADSTEAD_RESET_OVERFLOW = 8,
} roadstead_reset;

// A place for one decision after another; keep one for each thread. It is used by one thread at a time.
typedef struct roadstead_decision roadstead_decision;

// One node's engine: what is published in it and what lives in it. For all threads at once.
typedef struct roadstead_engine roadstead_engine;

// One request on its way, from its first try to its answer: faults, tries, time limits, mirrors. It does no I/O and owns no
// timer. It is used by one thread at a time.
typedef struct roadstead_exchange roadstead_exchange;

// An endpoint in use, counted against the cluster's limits until it is finished or freed. For all threads at once.
typedef struct roadstead_lease roadstead_lease;

// What was published at one moment, for as long as it is held. For all threads at once.
typedef struct roadstead_snapshot roadstead_snapshot;

// Where a call says what went wrong. Every call that takes one takes NULL too. Written only where the call fails.
typedef struct roadstead_error {
  // `sizeof(roadstead_error)`. Where it is too small nothing is written.
  size_t struct_size;
  // The `roadstead_status` that the call returned.
  int32_t status;
  // Of a snapshot's text, from 1; 0 where the error is not about text.
  uint32_t line;
  // In bytes, from 1.
  uint32_t column;
  // UTF-8 with a NUL at the end, cut where it is longer.
  char message[500];
} roadstead_error;

// Text or bytes: a pointer and a length, no NUL at the end. NULL with length 0 is "not given".
typedef struct roadstead_str {
  const char *data;
  size_t len;
} roadstead_str;

// Who owns a host and port. The strings live as long as the snapshot.
typedef struct roadstead_service {
  // `sizeof(roadstead_service)`.
  size_t struct_size;
  // As written: "*.x" for wildcards.
  struct roadstead_str host;
  struct roadstead_str namespace_;
  // Name of the port that was asked for.
  struct roadstead_str port_name;
  // Its protocol: 0 HTTP, 1 TCP, 2 TLS, 3 sniffed, 4 UDP.
  int32_t protocol;
} roadstead_service;

// One endpoint of a cluster. The strings live as long as what it came from: decision (until it is used again), lease or
// snapshot.
typedef struct roadstead_endpoint {
  // `sizeof(roadstead_endpoint)`.
  size_t struct_size;
  // IP, name or path, by `kind`.
  struct roadstead_str address;
  // Its name; empty for an address alone.
  struct roadstead_str hostname;
  // "region/zone/subzone"; empty: unknown.
  struct roadstead_str locality;
  // A `roadstead_address`.
  int32_t kind;
  // A `roadstead_health`, checks and configuration together.
  int32_t health;
  // Envoy's; 0 is tried first.
  uint32_t priority;
  uint32_t weight;
  uint16_t port;
} roadstead_endpoint;

// A counter or gauge in Envoy's words. `name` lives as long as the program.
typedef struct roadstead_stat {
  struct roadstead_str name;
  int64_t value;
} roadstead_stat;

// One header line. The name's case does not matter; NULL pointers are empty text.
typedef struct roadstead_header {
  struct roadstead_str name;
  struct roadstead_str value;
} roadstead_header;

// One request or connection. Zero what is not known: `roadstead_request r = {.struct_size = sizeof r};`
//
// Nothing is copied: what it points to must stay as it is for as long as the decision made from it is read or picked from.
// The struct itself may go.
typedef struct roadstead_request {
  // `sizeof(roadstead_request)`.
  size_t struct_size;
  // As in the Host header; its case, port and one trailing dot make no difference. Or an IP.
  struct roadstead_str host;
  // With its query, as it is sent; NULL: "/".
  struct roadstead_str path;
  // NULL: "GET".
  struct roadstead_str method;
  // "http" or "https"; NULL: what the port's protocol says.
  struct roadstead_str scheme;
  // The caller's address, for hashing by source; NULL: unknown.
  struct roadstead_str source_ip;
  // `roadstead_connect`: the server name of TLS; NULL: none is spoken.
  struct roadstead_str sni;
  // Where a captured request was on its way to (an IP); NULL: it was not captured.
  struct roadstead_str original_host;
  // In order; read only where a rule or hash policy asks.
  const struct roadstead_header *headers;
  size_t header_count;
  // The random number of the decision: weights, faults, mirrors, the pick. With ROADSTEAD_REQUEST_DRAW.
  uint64_t draw;
  // Nanoseconds of the engine's clock. With ROADSTEAD_REQUEST_NOW.
  int64_t now;
  // ROADSTEAD_REQUEST_….
  uint32_t flags;
  // The port asked for; 0: the scheme's default, or `original_port`.
  uint16_t port;
  uint16_t original_port;
} roadstead_request;

// One operation on headers; with an empty value all but ROADSTEAD_REMOVE do nothing, but in the answer to a CORS preflight.
typedef struct roadstead_header_op {
  // A `roadstead_op`.
  int32_t op;
  struct roadstead_str name;
  struct roadstead_str value;
} roadstead_header_op;

// What a decision says. The strings and arrays live until the decision is used again or freed; texts that were not changed
// are the request's own.
typedef struct roadstead_answer {
  // `sizeof(roadstead_answer)`.
  size_t struct_size;
  // A `roadstead_kind`.
  int32_t kind;
  // What this process answers with itself (404, 502, 503, a redirect's code, a direct response); 0 where it forwards.
  uint32_t status;
  // Envoy's response flags: "", "NR", "NC", "UH".
  struct roadstead_str flags;
  // The cluster's name, existing or not ("outbound|80|v1|host"); empty without one.
  struct roadstead_str cluster;
  // Host of the service that was asked for; NULL where nobody owns it.
  struct roadstead_str service;
  // Position in the virtual host; -1 without a rule.
  int32_t route;
  // Position among the rule's weighted destinations; -1 without one.
  int32_t destination;
  // Seconds for the whole request, retries included; below 0: no limit.
  double timeout;
  // Path and query as sent upstream.
  struct roadstead_str path;
  // Host header as sent upstream.
  struct roadstead_str authority;
  // Where a redirect leads; NULL without one.
  struct roadstead_str location;
  // Body of a direct response; NULL without one.
  struct roadstead_str body;
  // Operations on the request's headers, in order (`roadstead_decision_apply` does them).
  const struct roadstead_header_op *request_ops;
  size_t request_op_count;
  // The same for the response.
  const struct roadstead_header_op *response_ops;
  size_t response_op_count;
  // Clusters that get a copy of the request.
  const struct roadstead_str *mirrors;
  size_t mirror_count;
  // Set-Cookie values for hash cookies that were made.
  const struct roadstead_str *set_cookies;
  size_t set_cookie_count;
  // Fault injection that the draw hits: seconds to wait first; 0: none.
  double delay;
  // HTTP status to answer with; 0: none.
  uint32_t abort_status;
  // gRPC status to answer with; -1: none.
  int32_t abort_grpc_status;
  // The random number that decided; given again it decides the same.
  uint64_t draw;
  // What the hash policies give for the request; see `has_hash`.
  uint64_t hash;
  bool has_hash;
  // The caller itself speaks TLS to the service (beside what the mesh originates, `roadstead_decision_tls`).
  bool application_tls;
} roadstead_answer;

// When a try is repeated (Envoy: RetryPolicy). The strings and arrays live as those of `roadstead_answer`.
typedef struct roadstead_retry {
  // `sizeof(roadstead_retry)`.
  size_t struct_size;
  // After the first try.
  uint32_t attempts;
  // Envoy's conditions, comma separated.
  struct roadstead_str retry_on;
  // For "retriable-status-codes".
  const uint32_t *status_codes;
  size_t status_code_count;
  // Seconds; below 0: that of the request alone.
  double per_try_timeout;
  // Base interval of the back-off in seconds; below 0: Envoy's 25 ms.
  double backoff;
} roadstead_retry;

// TLS that the mesh originates towards the endpoint. The strings and arrays live as those of `roadstead_answer`.
typedef struct roadstead_tls {
  // `sizeof(roadstead_tls)`.
  size_t struct_size;
  // In Istio's words: "SIMPLE", "MUTUAL", "ISTIO_MUTUAL", "AUTO" (mTLS where the endpoint has a sidecar).
  struct roadstead_str mode;
  // Server name; empty with `auto_sni`: the authority.
  struct roadstead_str sni;
  // What is checked of the server's certificate: "" nothing, "san" one of `subject_alt_names`, "auto" the authority, "ca"
  // the signature alone.
  struct roadstead_str verify;
  // File of certificate authorities; empty: the system's.
  struct roadstead_str ca;
  // Files of the client's own certificate and key; empty: none.
  struct roadstead_str certificate;
  struct roadstead_str private_key;
  // Secret, or "configmap://namespace/name"; empty: files.
  struct roadstead_str credential_name;
  const struct roadstead_str *subject_alt_names;
  size_t subject_alt_name_count;
  // Protocols to offer; none: "http/1.1" for HTTP/1.1, nothing for bytes alone.
  const struct roadstead_str *alpn;
  size_t alpn_count;
  bool auto_sni;
} roadstead_tls;

// How an endpoint is chosen. NULL in its place: nothing special.
typedef struct roadstead_choice {
  // `sizeof(roadstead_choice)`.
  size_t struct_size;
  // ROADSTEAD_CHOICE_….
  uint32_t flags;
  // With ROADSTEAD_CHOICE_HASH.
  uint64_t hash;
  // With ROADSTEAD_CHOICE_HASH_KEY; any bytes.
  struct roadstead_str hash_key;
  // Endpoints to avoid (address and port count), as those of earlier tries: Envoy's previous_hosts.
  const struct roadstead_endpoint *exclude;
  size_t exclude_count;
} roadstead_choice;

// How a request is carried on. NULL in its place: nothing special.
typedef struct roadstead_terms {
  // `sizeof(roadstead_terms)`.
  size_t struct_size;
  // ROADSTEAD_TERMS_….
  uint32_t flags;
  // With ROADSTEAD_TERMS_HASH.
  uint64_t hash;
  // With ROADSTEAD_TERMS_HASH_KEY; any bytes.
  struct roadstead_str hash_key;
} roadstead_terms;

// What is to be done now. The strings and arrays live until the next report, or until the exchange is freed. Instants are
// nanoseconds of the clock that `now` is of.
typedef struct roadstead_step {
  // `sizeof(roadstead_step)`.
  size_t struct_size;
  // A `roadstead_do`.
  int32_t what;
  // Tries begun.
  uint32_t attempts;
  // When `roadstead_exchange_expired` is due; see `has_deadline`.
  int64_t deadline;
  // When the request's time is up, all tries together; see `has_limit`.
  int64_t limit;
  // Envoy's response flags so far, comma separated.
  struct roadstead_str flags;
  // Of the response that is passed on or of the answer; 0 where the client left first.
  uint32_t status;
  // Envoy's RESPONSE_CODE_DETAILS, once it is over.
  struct roadstead_str details;
  // ROADSTEAD_DO_TRY: what `roadstead_exchange_apply` sets on the request. ROADSTEAD_DO_RESPOND: of the answer.
  const struct roadstead_header *headers;
  size_t header_count;
  // ROADSTEAD_DO_RESPOND.
  struct roadstead_str body;
  // Clusters that get a copy (`roadstead_exchange_mirror`); with the first try only.
  const struct roadstead_str *mirrors;
  size_t mirror_count;
  bool has_deadline;
  bool has_limit;
  // ROADSTEAD_DO_NOTHING: the response is cut off, so the client's stream must be too.
  bool reset;
} roadstead_step;

// The functions of this interface for one kind of engine. Each is the function `roadstead_…` of its name; handles made
// through one table are given to that table only. Later versions append.
typedef struct roadstead_api {
  // ROADSTEAD_ABI_VERSION of who made the table: it must be that of the header.
  uint32_t abi_version;
  // Bytes of the table; what lies beyond is not there.
  size_t struct_size;
  // The engine of an object: of a `roadstead._core.Engine`, a Registry or a View in Python, with the GIL held. To be
  // released, from any thread. Afterwards no call needs the GIL; `roadstead_decision_retry`, `_tls` and `_connect_timeout`
  // take it for a moment where it is not held.
  enum roadstead_status (*acquire)(void *object, struct roadstead_engine **out, struct roadstead_error *error);
  enum roadstead_status (*engine_reload)(struct roadstead_engine *engine,
                                         const uint8_t *data,
                                         size_t len,
                                         struct roadstead_error *error);
  enum roadstead_status (*engine_set_endpoints)(struct roadstead_engine *engine,
                                                struct roadstead_str cluster,
                                                const uint8_t *data,
                                                size_t len,
                                                struct roadstead_error *error);
  enum roadstead_status (*engine_set_health)(struct roadstead_engine *engine,
                                             struct roadstead_str cluster,
                                             struct roadstead_str address,
                                             uint16_t port,
                                             int32_t health,
                                             struct roadstead_error *error);
  uint64_t (*engine_version)(const struct roadstead_engine *engine);
  int64_t (*engine_now)(const struct roadstead_engine *engine);
  uint64_t (*engine_draw)(const struct roadstead_engine *engine);
  int64_t (*engine_sweep)(const struct roadstead_engine *engine, int64_t now);
  enum roadstead_status (*engine_release)(struct roadstead_engine *engine);
  enum roadstead_status (*snapshot_acquire)(const struct roadstead_engine *engine,
                                            struct roadstead_snapshot **out,
                                            struct roadstead_error *error);
  enum roadstead_status (*snapshot_release)(struct roadstead_snapshot *snapshot);
  enum roadstead_status (*find)(const struct roadstead_snapshot *snapshot,
                                struct roadstead_str host,
                                uint16_t port,
                                struct roadstead_service *service,
                                struct roadstead_error *error);
  enum roadstead_status (*snapshot_clusters)(const struct roadstead_snapshot *snapshot,
                                             struct roadstead_str *out,
                                             size_t room,
                                             size_t *count,
                                             struct roadstead_error *error);
  enum roadstead_status (*snapshot_endpoints)(const struct roadstead_snapshot *snapshot,
                                              struct roadstead_str cluster,
                                              struct roadstead_endpoint *out,
                                              size_t room,
                                              size_t *count,
                                              struct roadstead_error *error);
  enum roadstead_status (*snapshot_stats)(const struct roadstead_snapshot *snapshot,
                                          struct roadstead_str cluster,
                                          struct roadstead_stat *out,
                                          size_t room,
                                          size_t *count,
                                          struct roadstead_error *error);
  enum roadstead_status (*snapshot_endpoint_stats)(const struct roadstead_snapshot *snapshot,
                                                   struct roadstead_str cluster,
                                                   size_t index,
                                                   struct roadstead_stat *out,
                                                   size_t room,
                                                   size_t *count,
                                                   struct roadstead_error *error);
  enum roadstead_status (*decision_new)(const struct roadstead_engine *engine,
                                        struct roadstead_decision **out,
                                        struct roadstead_error *error);
  enum roadstead_status (*decision_free)(struct roadstead_decision *decision);
  enum roadstead_status (*route)(struct roadstead_decision *decision,
                                 const struct roadstead_request *request,
                                 struct roadstead_error *error);
  enum roadstead_status (*connect)(struct roadstead_decision *decision,
                                   const struct roadstead_request *request,
                                   struct roadstead_error *error);
  enum roadstead_kind (*decision_kind)(const struct roadstead_decision *decision);
  struct roadstead_str (*decision_cluster)(const struct roadstead_decision *decision);
  enum roadstead_status (*decision_answer)(struct roadstead_decision *decision,
                                           struct roadstead_answer *out,
                                           struct roadstead_error *error);
  enum roadstead_status (*decision_retry)(struct roadstead_decision *decision,
                                          struct roadstead_retry *out,
                                          struct roadstead_error *error);
  enum roadstead_status (*decision_tls)(struct roadstead_decision *decision,
                                        struct roadstead_tls *out,
                                        struct roadstead_error *error);
  double (*decision_connect_timeout)(struct roadstead_decision *decision);
  enum roadstead_status (*decision_reasons)(struct roadstead_decision *decision,
                                            struct roadstead_str *out,
                                            size_t room,
                                            size_t *count,
                                            struct roadstead_error *error);
  enum roadstead_status (*decision_apply)(const struct roadstead_decision *decision,
                                          bool response,
                                          const struct roadstead_header *headers,
                                          size_t header_count,
                                          struct roadstead_header *out,
                                          size_t room,
                                          size_t *count,
                                          struct roadstead_error *error);
  enum roadstead_status (*pick)(struct roadstead_decision *decision,
                                const struct roadstead_choice *choice,
                                struct roadstead_endpoint *out,
                                struct roadstead_error *error);
  enum roadstead_status (*lease_take)(struct roadstead_decision *decision,
                                      const struct roadstead_choice *choice,
                                      struct roadstead_lease **out,
                                      struct roadstead_error *error);
  enum roadstead_status (*lease_endpoint)(const struct roadstead_lease *lease,
                                          struct roadstead_endpoint *out,
                                          struct roadstead_error *error);
  enum roadstead_status (*lease_ready)(const struct roadstead_lease *lease, struct roadstead_error *error);
  enum roadstead_status (*lease_finish)(const struct roadstead_lease *lease,
                                        int32_t end,
                                        uint16_t status,
                                        int64_t now,
                                        struct roadstead_error *error);
  enum roadstead_status (*lease_free)(struct roadstead_lease *lease);
  enum roadstead_status (*exchange_begin)(const struct roadstead_decision *decision,
                                          const struct roadstead_terms *terms,
                                          int64_t now,
                                          struct roadstead_exchange **out,
                                          struct roadstead_error *error);
  enum roadstead_status (*exchange_mirror)(const struct roadstead_exchange *exchange,
                                           struct roadstead_str cluster,
                                           int64_t now,
                                           struct roadstead_exchange **out,
                                           struct roadstead_error *error);
  enum roadstead_status (*exchange_step)(const struct roadstead_exchange *exchange,
                                         struct roadstead_step *out,
                                         struct roadstead_error *error);
  struct roadstead_decision *(*exchange_decision)(const struct roadstead_exchange *exchange);
  enum roadstead_status (*exchange_endpoint)(const struct roadstead_exchange *exchange,
                                             struct roadstead_endpoint *out,
                                             struct roadstead_error *error);
  enum roadstead_status (*exchange_apply)(struct roadstead_exchange *exchange,
                                          const struct roadstead_header *headers,
                                          size_t header_count,
                                          struct roadstead_header *out,
                                          size_t room,
                                          size_t *count,
                                          struct roadstead_error *error);
  enum roadstead_status (*exchange_received)(struct roadstead_exchange *exchange,
                                             int64_t now,
                                             struct roadstead_step *out,
                                             struct roadstead_error *error);
  enum roadstead_status (*exchange_ready)(struct roadstead_exchange *exchange,
                                          int64_t now,
                                          struct roadstead_step *out,
                                          struct roadstead_error *error);
  enum roadstead_status (*exchange_response)(struct roadstead_exchange *exchange,
                                             uint16_t status,
                                             const struct roadstead_header *headers,
                                             size_t header_count,
                                             bool end_stream,
                                             int64_t now,
                                             struct roadstead_step *out,
                                             struct roadstead_error *error);
  enum roadstead_status (*exchange_ended)(struct roadstead_exchange *exchange,
                                          int64_t now,
                                          struct roadstead_step *out,
                                          struct roadstead_error *error);
  enum roadstead_status (*exchange_reset)(struct roadstead_exchange *exchange,
                                          int32_t reason,
                                          bool sent,
                                          int64_t now,
                                          struct roadstead_step *out,
                                          struct roadstead_error *error);
  enum roadstead_status (*exchange_expired)(struct roadstead_exchange *exchange,
                                            int64_t now,
                                            struct roadstead_step *out,
                                            struct roadstead_error *error);
  enum roadstead_status (*exchange_cancel)(struct roadstead_exchange *exchange,
                                           int64_t now,
                                           struct roadstead_step *out,
                                           struct roadstead_error *error);
  enum roadstead_status (*exchange_once)(struct roadstead_exchange *exchange, struct roadstead_error *error);
  enum roadstead_status (*exchange_free)(struct roadstead_exchange *exchange);
} roadstead_api;

// How an engine is made.
typedef struct roadstead_options {
  // `sizeof(roadstead_options)`.
  size_t struct_size;
  // ROADSTEAD_OPTIONS_….
  uint32_t flags;
  // With ROADSTEAD_OPTIONS_SEED.
  uint64_t seed;
  // Monotonic nanoseconds, called from any thread; NULL: the system's monotonic clock. It must not unwind.
  int64_t (*clock)(void *context);
  // What `clock` is given; must live as long as the engine.
  void *context;
} roadstead_options;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// The version of the library: it must be ROADSTEAD_ABI_VERSION of the header.
uint32_t roadstead_abi_version(void);

// The same functions as a table, for code that is written for either. Lives as long as the program.
const struct roadstead_api *roadstead_api_table(void);

// An engine from a serialised snapshot (`roadstead snapshot -f mesh/ -o mesh.snapshot`). options: NULL, or what is special.
// The bytes may go when this returns.
enum roadstead_status roadstead_engine_load(const uint8_t *data,
                                            size_t len,
                                            const struct roadstead_options *options,
                                            struct roadstead_engine **out,
                                            struct roadstead_error *error);

// Replaces all that is published by a serialised snapshot, in one step: readers go on with what they hold. Bad bytes
// change nothing. Counters, health and cursors of what stays survive. Not for engines of Python.
enum roadstead_status roadstead_engine_reload(struct roadstead_engine *engine,
                                              const uint8_t *data,
                                              size_t len,
                                              struct roadstead_error *error);

// Replaces a cluster's endpoints (what DNS or discovery reports): a JSON array of groups as in a snapshot. Seen when this
// returns, until the next reload. Not for engines of Python.
enum roadstead_status roadstead_engine_set_endpoints(struct roadstead_engine *engine,
                                                     struct roadstead_str cluster,
                                                     const uint8_t *data,
                                                     size_t len,
                                                     struct roadstead_error *error);

// Active health of a cluster's endpoint (a roadstead_health; ROADSTEAD_UNKNOWN takes the mark away); takes effect at once.
enum roadstead_status roadstead_engine_set_health(struct roadstead_engine *engine,
                                                  struct roadstead_str cluster,
                                                  struct roadstead_str address,
                                                  uint16_t port,
                                                  int32_t health,
                                                  struct roadstead_error *error);

// Counts published changes; 0 for NULL.
uint64_t roadstead_engine_version(const struct roadstead_engine *engine);

// The engine's time in nanoseconds.
int64_t roadstead_engine_now(const struct roadstead_engine *engine);

// The next number of the calling thread's generator.
uint64_t roadstead_engine_draw(const struct roadstead_engine *engine);

// Does the ticks of outlier detection that are due: endpoints whose ejection is over come back. Call it now and then, or when
// the nanoseconds are over that it returns: until the next tick with something to do; -1 while nothing is ejected.
int64_t roadstead_engine_sweep(const struct roadstead_engine *engine,
                               int64_t now);

// Lets an engine go. Decisions, snapshots and leases made from it stay good. NULL is none.
enum roadstead_status roadstead_engine_release(struct roadstead_engine *engine);

// What is published now, until it is released. Later changes are not seen through it.
enum roadstead_status roadstead_snapshot_acquire(const struct roadstead_engine *engine,
                                                 struct roadstead_snapshot **out,
                                                 struct roadstead_error *error);

// Lets a snapshot go, and all strings that came from it. NULL is none.
enum roadstead_status roadstead_snapshot_release(struct roadstead_snapshot *snapshot);

// Who owns a host (a name or an IP) and port. ROADSTEAD_NOT_FOUND, without a message, where nobody does.
enum roadstead_status roadstead_find(const struct roadstead_snapshot *snapshot,
                                     struct roadstead_str host,
                                     uint16_t port,
                                     struct roadstead_service *service,
                                     struct roadstead_error *error);

// Names of all clusters: as many as there is room for; `count` is how many there are.
enum roadstead_status roadstead_snapshot_clusters(const struct roadstead_snapshot *snapshot,
                                                  struct roadstead_str *out,
                                                  size_t room,
                                                  size_t *count,
                                                  struct roadstead_error *error);

// A cluster's endpoints as they are now (for health checks), as many as there is room for, each with its struct_size set;
// `count` is how many there are. The strings live as long as the snapshot.
enum roadstead_status roadstead_snapshot_endpoints(const struct roadstead_snapshot *snapshot,
                                                   struct roadstead_str cluster,
                                                   struct roadstead_endpoint *out,
                                                   size_t room,
                                                   size_t *count,
                                                   struct roadstead_error *error);

// Counters and gauges of a cluster as they are now, in Envoy's words.
enum roadstead_status roadstead_snapshot_stats(const struct roadstead_snapshot *snapshot,
                                               struct roadstead_str cluster,
                                               struct roadstead_stat *out,
                                               size_t room,
                                               size_t *count,
                                               struct roadstead_error *error);

// The same of one endpoint, by its position in `roadstead_snapshot_endpoints`.
enum roadstead_status roadstead_snapshot_endpoint_stats(const struct roadstead_snapshot *snapshot,
                                                        struct roadstead_str cluster,
                                                        size_t index,
                                                        struct roadstead_stat *out,
                                                        size_t room,
                                                        size_t *count,
                                                        struct roadstead_error *error);

// A place for decisions of an engine. Filling it again and again costs no allocation.
enum roadstead_status roadstead_decision_new(const struct roadstead_engine *engine,
                                             struct roadstead_decision **out,
                                             struct roadstead_error *error);

// Frees a place and all strings that came from it. NULL is none. Leases stay good.
enum roadstead_status roadstead_decision_free(struct roadstead_decision *decision);

// Where an HTTP request goes. 404, 502 and 503 are decisions too (`roadstead_kind`), not failures. Where the call fails the
// decision stays what it was.
enum roadstead_status roadstead_route(struct roadstead_decision *decision,
                                      const struct roadstead_request *request,
                                      struct roadstead_error *error);

// Where a connection goes: TCP, or TLS by server name. Read are host (a name selects its service, an IP the listener), port,
// sni, source_ip, draw and now.
enum roadstead_status roadstead_connect(struct roadstead_decision *decision,
                                        const struct roadstead_request *request,
                                        struct roadstead_error *error);

// What became of the request; ROADSTEAD_NOTHING before the first.
enum roadstead_kind roadstead_decision_kind(const struct roadstead_decision *decision);

// The cluster's name, as in roadstead_answer.
struct roadstead_str roadstead_decision_cluster(const struct roadstead_decision *decision);

// All that a decision says.
enum roadstead_status roadstead_decision_answer(struct roadstead_decision *decision,
                                                struct roadstead_answer *out,
                                                struct roadstead_error *error);

// The rule's retry policy; ROADSTEAD_NOT_FOUND where it has none.
enum roadstead_status roadstead_decision_retry(struct roadstead_decision *decision,
                                               struct roadstead_retry *out,
                                               struct roadstead_error *error);

// TLS to originate; ROADSTEAD_NOT_FOUND where the mesh originates none.
enum roadstead_status roadstead_decision_tls(struct roadstead_decision *decision,
                                             struct roadstead_tls *out,
                                             struct roadstead_error *error);

// Seconds that connecting to an endpoint may take; below 0: not known.
double roadstead_decision_connect_timeout(struct roadstead_decision *decision);

// Steps that led to the decision, machine readable ("host:exact", "route:0" …).
enum roadstead_status roadstead_decision_reasons(struct roadstead_decision *decision,
                                                 struct roadstead_str *out,
                                                 size_t room,
                                                 size_t *count,
                                                 struct roadstead_error *error);

// Header lines after the rule's operations, on the request or on the response. The strings are those given and the
// decision's. `count` is how many lines there are; no more than `header_count` and the number of operations together.
enum roadstead_status roadstead_decision_apply(const struct roadstead_decision *decision,
                                               bool response,
                                               const struct roadstead_header *headers,
                                               size_t header_count,
                                               struct roadstead_header *out,
                                               size_t room,
                                               size_t *count,
                                               struct roadstead_error *error);

// Chooses an endpoint; each call is a new pick. choice: NULL, or what is special.
enum roadstead_status roadstead_pick(struct roadstead_decision *decision,
                                     const struct roadstead_choice *choice,
                                     struct roadstead_endpoint *out,
                                     struct roadstead_error *error);

// Picks and counts: a request of `roadstead_route`, a connection of `roadstead_connect`. One for each try.
// ROADSTEAD_OVERFLOW at a limit of the cluster.
enum roadstead_status roadstead_lease_take(struct roadstead_decision *decision,
                                           const struct roadstead_choice *choice,
                                           struct roadstead_lease **out,
                                           struct roadstead_error *error);

// Where to connect.
enum roadstead_status roadstead_lease_endpoint(const struct roadstead_lease *lease,
                                               struct roadstead_endpoint *out,
                                               struct roadstead_error *error);

// The connection is there. A pending request counts against max_requests from now on: ROADSTEAD_OVERFLOW at that limit, which
// ends the lease. Of a connection it is a success for outlier detection, now and not only when it ends. Later calls do nothing.
enum roadstead_status roadstead_lease_ready(const struct roadstead_lease *lease,
                                            struct roadstead_error *error);

// Ends a lease; the first call counts, and feeds outlier detection. end: a roadstead_end; status: the HTTP status with
// ROADSTEAD_END_OK, 0 for none; now: nanoseconds of the engine's clock (`roadstead_engine_now`).
enum roadstead_status roadstead_lease_finish(const struct roadstead_lease *lease,
                                             int32_t end,
                                             uint16_t status,
                                             int64_t now,
                                             struct roadstead_error *error);

// Frees a lease; one that was not finished gives back what it holds and tells nothing of its endpoint. NULL is none.
enum roadstead_status roadstead_lease_free(struct roadstead_lease *lease);

// Begins the exchange of a request that was routed: the step it begins with is read by `roadstead_exchange_step`. terms: NULL, or
// what is special; now: nanoseconds of the engine's clock, as in every report. The decision may be used again at once; what its
// request points to must stay as it is until the exchange is freed.
enum roadstead_status roadstead_exchange_begin(const struct roadstead_decision *decision,
                                               const struct roadstead_terms *terms,
                                               int64_t now,
                                               struct roadstead_exchange **out,
                                               struct roadstead_error *error);

// The copy for one of the mirrors of a step: an exchange of its own without fault and retries, with the request's time limit,
// authority and path. Its outcome is nobody's business. ROADSTEAD_NOT_FOUND for a cluster that does not exist.
enum roadstead_status roadstead_exchange_mirror(const struct roadstead_exchange *exchange,
                                                struct roadstead_str cluster,
                                                int64_t now,
                                                struct roadstead_exchange **out,
                                                struct roadstead_error *error);

// What is to be done now.
enum roadstead_status roadstead_exchange_step(const struct roadstead_exchange *exchange,
                                              struct roadstead_step *out,
                                              struct roadstead_error *error);

// Whose request it is: a decision to be read (and picked from) for as long as the exchange is there. It is not filled or freed by
// the caller, which is refused (ROADSTEAD_HANDLE). NULL for NULL.
struct roadstead_decision *roadstead_exchange_decision(const struct roadstead_exchange *exchange);

// Where the try that is under way goes. ROADSTEAD_NO_ENDPOINT without one. The strings live until the exchange is freed.
enum roadstead_status roadstead_exchange_endpoint(const struct roadstead_exchange *exchange,
                                                  struct roadstead_endpoint *out,
                                                  struct roadstead_error *error);

// Header lines of this try: as `roadstead_decision_apply` makes them, without those that steer Envoy (x-envoy-retry-on …), with the
// step's own. Strings that are not given live until the next report or call of this.
enum roadstead_status roadstead_exchange_apply(struct roadstead_exchange *exchange,
                                               const struct roadstead_header *headers,
                                               size_t header_count,
                                               struct roadstead_header *out,
                                               size_t room,
                                               size_t *count,
                                               struct roadstead_error *error);

// The whole request is here: its time limits count from now. With ROADSTEAD_TERMS_STREAMED. `out` of this and of the reports that
// follow: the step that comes of it, or NULL. Reports about an exchange that is over change nothing.
enum roadstead_status roadstead_exchange_received(struct roadstead_exchange *exchange,
                                                  int64_t now,
                                                  struct roadstead_step *out,
                                                  struct roadstead_error *error);

// The try has its connection: its own time limit counts from now, and a pending one counts against max_requests (503 UO at that
// limit).
enum roadstead_status roadstead_exchange_ready(struct roadstead_exchange *exchange,
                                               int64_t now,
                                               struct roadstead_step *out,
                                               struct roadstead_error *error);

// Response headers are here. end_stream: nothing comes after them, or it is all here. 1xx (but 101) is passed on, so that nothing
// is tried again. Of the headers grpc-status, x-envoy-ratelimited and those that the retry policy names are read.
enum roadstead_status roadstead_exchange_response(struct roadstead_exchange *exchange,
                                                  uint16_t status,
                                                  const struct roadstead_header *headers,
                                                  size_t header_count,
                                                  bool end_stream,
                                                  int64_t now,
                                                  struct roadstead_step *out,
                                                  struct roadstead_error *error);

// The response that is passed on came to its end.
enum roadstead_status roadstead_exchange_ended(struct roadstead_exchange *exchange,
                                               int64_t now,
                                               struct roadstead_step *out,
                                               struct roadstead_error *error);

// The try broke. reason: a roadstead_reset; sent: something of the request was written (never of a failed connection).
enum roadstead_status roadstead_exchange_reset(struct roadstead_exchange *exchange,
                                               int32_t reason,
                                               bool sent,
                                               int64_t now,
                                               struct roadstead_step *out,
                                               struct roadstead_error *error);

// Time has passed; the same step where nothing is due yet.
enum roadstead_status roadstead_exchange_expired(struct roadstead_exchange *exchange,
                                                 int64_t now,
                                                 struct roadstead_step *out,
                                                 struct roadstead_error *error);

// The client went away, or lost interest.
enum roadstead_status roadstead_exchange_cancel(struct roadstead_exchange *exchange,
                                                int64_t now,
                                                struct roadstead_step *out,
                                                struct roadstead_error *error);

// The request cannot be sent again from now on (its body is too large to keep): nothing more is tried again.
enum roadstead_status roadstead_exchange_once(struct roadstead_exchange *exchange, struct roadstead_error *error);

// Frees an exchange and all strings that came from it; one that is not over gives back what it holds. NULL is none.
enum roadstead_status roadstead_exchange_free(struct roadstead_exchange *exchange);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* ROADSTEAD_H */
