/* What a program may do wrong is told; what it does right adds up. Exits 0 where all of it is so. */
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "roadstead.h"

#define EXPECT(condition)                                                     \
  do {                                                                        \
    if (!(condition)) {                                                       \
      fprintf(stderr, "%s:%d: expected %s\n", __FILE__, __LINE__, #condition); \
      exit(1);                                                                \
    }                                                                         \
  } while (0)

static roadstead_str str(const char *text) { return (roadstead_str){text, text == NULL ? 0 : strlen(text)}; }

static bool is(roadstead_str given, const char *text) {
  return given.data != NULL && given.len == strlen(text) && memcmp(given.data, text, given.len) == 0;
}

static int64_t standing(void *context) { return *(int64_t *)context; }

static int64_t instant = 5;

/* One host: /x/ goes to a cluster of two endpoints with at most one request, and is retried; /old is redirected. */
static const char MESH[] =
    "{\"format\": 1, \"outbound\": 0, \"units\": [[\"a.test\", \"\", [[null, \"a.test\", \"ns\", [], [[80, \"http\", 0]]]],\n"
    "[[null, \"c\", 0, [0, 0, 140, false, 1024, 8388608, 65537, 2, 1.0, 0.0, 1.0, 10.0], [1, 1, 1, 1, null, 0],"
    " [[\"r/z\", 0, null, [[\"10.0.0.1\", 81, 0, 1, 0, {\"l\": \"v\"}, \"\", \"\"], [\"10.0.0.2\", 82, 0, 1, 0, null, \"h\", \"\"]]]], 0,"
    " {\"connect_timeout\": 2.5, \"tls\": {\"mode\": \"SIMPLE\", \"sni\": \"s.test\", \"subject_alt_names\": [\"n\"]}},"
    " [2, 100, 5, 0, 5, 100, false, 10.0, 30.0, 300.0, 0.0, 100, false, []]]],\n"
    "[[null, 80, [[\"a.test\", 0]], [[null,"
    " [[1, \"/x/\", false], [], []], 0, [[\"c\", 0, [], [], null]], [[0, \"x-a\", \"1\", []], [2, \"x-b\", \"\", []]], [], \"/y/\", null, null,"
    " null, 0, \"\", [], [], null, 5, {\"timeout\": 3.5, \"retry\": {\"attempts\": 2, \"retry_on\": \"5xx\","
    " \"status_codes\": [418], \"per_try_timeout\": null, \"backoff\": 0.1}}, 3.5, [\"5xx\", 2, 0, 0.1, [418], true, 0], null],"
    " [null, [[1, \"/old\", false], [], []], 1, [], [], [], null, null, null, [\"\", \"b.test\", 0, \"\", \"\", 302, false], 0, \"\","
    " [], [], null, 5, null, 0, null, null]], false, []]], [], null]]}";

static roadstead_error error = {.struct_size = sizeof error};

static roadstead_engine *loaded(void) {
  roadstead_options options = {.struct_size = sizeof options, .flags = ROADSTEAD_OPTIONS_SEED, .clock = standing, .context = &instant};
  roadstead_engine *engine;
  if (roadstead_engine_load((const uint8_t *)MESH, sizeof MESH - 1, &options, &engine, &error) != ROADSTEAD_OK) {
    fprintf(stderr, "%s\n", error.message);
    exit(1);
  }
  return engine;
}

static roadstead_request asking(const char *path) {
  return (roadstead_request){
      .struct_size = sizeof(roadstead_request), .host = str("A.test:80"), .path = str(path), .port = 80,
      .flags = ROADSTEAD_REQUEST_DRAW};
}

static void bytes_that_are_none(void) {
  static const struct {
    const char *text, *said;
    uint32_t line;
  } cases[] = {
      {"", "EOF", 1},
      {"[]", "a snapshot", 1},
      {"{\"outbound\": 0}", "begins with \"format\"", 1},
      {"{\"format\": 99, \"outbound\": 0}", "format 99", 1},
      {"{\"format\": 1,\n\"outbund\": 0}", "no field \"outbund\"", 2},
      {"{\"format\": 1,\n\"outbound\": 7, \"units\": []}", "no outbound policy 7", 2},
      {"{\"format\": 1, \"outbound\": 0}", "missing field `units`", 1},
      {"{\"format\": 1, \"outbound\": 0, \"outbound\": 0}", "duplicate field", 1},
      {"{\"format\": 1, \"outbound\": 0,\n\n\"units\": [[\"k\", \"\", [], [], []]]}", "invalid length 5", 3},
      {"{\"format\": 1, \"outbound\": 0,\n\"units\": [[\"k\", \"\", [], [], [], [], null], [\"k\", \"\", [], [], [], [], null]]}", "there twice", 2},
      {"{\"format\": 1, \"outbound\": 0,\n\"units\": [[\"k\", \"\", [[null, \"h\", \"n\", [\"10.0.0.0/64\"], []]], [], [], [], null]]}",
       "unit \"k\": ", 2},
      {"{\"format\": 1, \"outbound\": 0, \"units\": [[\"k\", \"\", [[null, \"h\", \"n\", [], [[80, \"p\", 9]]]], [], [], [], null]]}",
       "code of Protocol", 1},
      {"{\"format\": 1, \"outbound\": 0, \"units\": []} x", "trailing characters", 1},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    roadstead_engine *engine = (roadstead_engine *)&error;
    roadstead_status status =
        roadstead_engine_load((const uint8_t *)cases[i].text, strlen(cases[i].text), NULL, &engine, &error);
    if (status != ROADSTEAD_SNAPSHOT || engine != NULL || error.status != ROADSTEAD_SNAPSHOT ||
        error.line != cases[i].line || error.column > 120 || strstr(error.message, cases[i].said) == NULL) {
      fprintf(stderr, "%s: %d at %u:%u: %s\n", cases[i].text, status, error.line, error.column, error.message);
      exit(1);
    }
  }
}

static void arguments(roadstead_engine *engine) {
  roadstead_decision *decision;
  roadstead_snapshot *snapshot;
  roadstead_request request = asking("/x/");
  roadstead_answer answer = {.struct_size = sizeof answer};
  roadstead_endpoint endpoint = {.struct_size = sizeof endpoint};
  EXPECT(roadstead_decision_new(NULL, &decision, &error) == ROADSTEAD_NULL && decision == NULL);
  EXPECT(strstr(error.message, "engine is NULL") != NULL);
  EXPECT(roadstead_decision_new(engine, NULL, &error) == ROADSTEAD_NULL);
  EXPECT(roadstead_decision_new(engine, &decision, NULL) == ROADSTEAD_OK);
  EXPECT(roadstead_snapshot_acquire(engine, &snapshot, NULL) == ROADSTEAD_OK);
  /* A handle of another kind. */
  EXPECT(roadstead_decision_new((roadstead_engine *)snapshot, (roadstead_decision **)&endpoint.address, &error) == ROADSTEAD_HANDLE);
  EXPECT(roadstead_engine_version((roadstead_engine *)decision) == 0 && roadstead_engine_version(NULL) == 0);
  EXPECT(roadstead_engine_release((roadstead_engine *)snapshot) == ROADSTEAD_HANDLE);
  /* Nothing is decided yet. */
  EXPECT(roadstead_decision_kind(decision) == ROADSTEAD_NOTHING && roadstead_decision_kind(NULL) == ROADSTEAD_NOTHING);
  EXPECT(roadstead_decision_answer(decision, &answer, &error) == ROADSTEAD_EMPTY);
  EXPECT(roadstead_pick(decision, NULL, &endpoint, &error) == ROADSTEAD_EMPTY);
  EXPECT(roadstead_decision_cluster(decision).data == NULL && roadstead_decision_connect_timeout(NULL) < 0);
  /* Sizes. */
  request.struct_size = 0;
  EXPECT(roadstead_route(decision, &request, &error) == ROADSTEAD_STRUCT_SIZE);
  EXPECT(strstr(error.message, "roadstead_request.struct_size is 0") != NULL);
  request.struct_size = sizeof request;
  EXPECT(roadstead_route(decision, NULL, &error) == ROADSTEAD_NULL);
  EXPECT(roadstead_route(decision, &request, &error) == ROADSTEAD_OK);
  answer.struct_size = 8;
  EXPECT(roadstead_decision_answer(decision, &answer, &error) == ROADSTEAD_STRUCT_SIZE);
  answer.struct_size = sizeof answer;
  roadstead_error small = {.struct_size = 8, .status = 77};
  EXPECT(roadstead_route(decision, NULL, &small) == ROADSTEAD_NULL && small.status == 77);
  /* A later version's larger struct: what this one does not know stays. */
  struct {
    roadstead_answer known;
    uint64_t later;
  } larger = {.known.struct_size = sizeof larger, .later = 7};
  EXPECT(roadstead_decision_answer(decision, &larger.known, &error) == ROADSTEAD_OK);
  EXPECT(larger.later == 7 && larger.known.struct_size == sizeof larger && larger.known.kind == ROADSTEAD_FORWARD);
  /* Text. A call that fails leaves the decision what it was. */
  request.host = str("\xff.test");
  EXPECT(roadstead_route(decision, &request, &error) == ROADSTEAD_UTF8 && strstr(error.message, "request.host") != NULL);
  EXPECT(is(roadstead_decision_cluster(decision), "c"));
  request.host = (roadstead_str){NULL, 3};
  EXPECT(roadstead_route(decision, &request, &error) == ROADSTEAD_NULL);
  request.host = (roadstead_str){"a", (size_t)-1};
  EXPECT(roadstead_route(decision, &request, &error) == ROADSTEAD_RANGE);
  request = asking("/x/");
  request.header_count = 1;
  EXPECT(roadstead_route(decision, &request, &error) == ROADSTEAD_NULL);
  /* Names and codes. */
  EXPECT(roadstead_engine_set_health(engine, str("none"), str("10.0.0.1"), 81, 1, &error) == ROADSTEAD_NOT_FOUND);
  EXPECT(roadstead_engine_set_health(engine, str("c"), str("10.0.0.9"), 81, 1, &error) == ROADSTEAD_NOT_FOUND);
  EXPECT(roadstead_engine_set_health(engine, str("c"), str("10.0.0.1"), 81, 5, &error) == ROADSTEAD_RANGE);
  EXPECT(roadstead_engine_set_health(engine, str("c"), str("10.0.0.1"), 81, -1, &error) == ROADSTEAD_RANGE);
  EXPECT(roadstead_api_table()->acquire(&answer, (roadstead_engine **)&endpoint.address, &error) == ROADSTEAD_UNSUPPORTED);
  EXPECT(roadstead_decision_free(NULL) == ROADSTEAD_OK && roadstead_lease_free(NULL) == ROADSTEAD_OK);
  EXPECT(roadstead_decision_free(decision) == ROADSTEAD_OK && roadstead_snapshot_release(snapshot) == ROADSTEAD_OK);
}

static void answers(roadstead_engine *engine) {
  roadstead_decision *decision;
  roadstead_answer answer = {.struct_size = sizeof answer};
  roadstead_retry retry = {.struct_size = sizeof retry};
  roadstead_tls tls = {.struct_size = sizeof tls};
  roadstead_request request = asking("/x/./z?q");
  roadstead_endpoint endpoint = {.struct_size = sizeof endpoint};
  EXPECT(roadstead_decision_new(engine, &decision, &error) == ROADSTEAD_OK);
  EXPECT(roadstead_route(decision, &request, &error) == ROADSTEAD_OK);
  EXPECT(roadstead_decision_answer(decision, &answer, &error) == ROADSTEAD_OK);
  EXPECT(is(answer.path, "/y/z?q") && is(answer.authority, "A.test:80"));
  EXPECT(answer.timeout == 3.5 && answer.request_op_count == 2 && answer.location.data == NULL);
  EXPECT(roadstead_decision_retry(decision, &retry, &error) == ROADSTEAD_OK);
  EXPECT(retry.attempts == 2 && is(retry.retry_on, "5xx") && retry.per_try_timeout < 0 && retry.backoff == 0.1);
  EXPECT(retry.status_code_count == 1 && retry.status_codes[0] == 418);
  EXPECT(roadstead_decision_tls(decision, &tls, &error) == ROADSTEAD_OK);
  EXPECT(is(tls.mode, "SIMPLE") && is(tls.sni, "s.test") && tls.subject_alt_name_count == 1 && !tls.auto_sni);
  EXPECT(is(tls.subject_alt_names[0], "n") && is(tls.ca, "") && roadstead_decision_connect_timeout(decision) == 2.5);
  roadstead_header lines[3] = {{str("X-B"), str("2")}, {str("x-a"), str("0")}, {str("x-c"), {"\xff", 1}}}, out[5];
  size_t count;
  EXPECT(roadstead_decision_apply(decision, false, lines, 3, out, 5, &count, &error) == ROADSTEAD_OK);
  EXPECT(count == 2 && is(out[0].name, "x-a") && is(out[0].value, "1") && is(out[1].value, "\xff"));
  EXPECT(roadstead_decision_apply(decision, true, lines, 3, NULL, 0, &count, &error) == ROADSTEAD_OK && count == 3);
  /* Excluded endpoints are avoided; their strings are good until the decision is used again. */
  for (uint64_t draw = 0; draw < 20; draw++) {
    roadstead_endpoint second = {.struct_size = sizeof second};
    request.draw = draw;
    EXPECT(roadstead_route(decision, &request, &error) == ROADSTEAD_OK);
    EXPECT(roadstead_pick(decision, NULL, &endpoint, &error) == ROADSTEAD_OK);
    roadstead_choice other = {.struct_size = sizeof other, .exclude = &endpoint, .exclude_count = 1};
    EXPECT(roadstead_pick(decision, &other, &second, &error) == ROADSTEAD_OK);
    EXPECT(endpoint.port + second.port == 163 && is(endpoint.locality, "r/z"));
    EXPECT(is(endpoint.address, endpoint.port == 81 ? "10.0.0.1" : "10.0.0.2"));
    EXPECT(is(second.hostname, second.port == 82 ? "h" : ""));
  }
  request = asking("/old");
  EXPECT(roadstead_route(decision, &request, &error) == ROADSTEAD_OK);
  EXPECT(roadstead_decision_answer(decision, &answer, &error) == ROADSTEAD_OK);
  EXPECT(answer.kind == ROADSTEAD_REDIRECT && answer.status == 302 && is(answer.location, "http://b.test/old"));
  EXPECT(roadstead_decision_retry(decision, &retry, &error) == ROADSTEAD_NOT_FOUND);
  EXPECT(roadstead_decision_tls(decision, &tls, &error) == ROADSTEAD_NOT_FOUND);
  EXPECT(roadstead_pick(decision, NULL, &endpoint, &error) == ROADSTEAD_NO_ENDPOINT);
  request = asking("/none");
  EXPECT(roadstead_route(decision, &request, &error) == ROADSTEAD_OK);
  EXPECT(roadstead_decision_kind(decision) == ROADSTEAD_NO_ROUTE);
  EXPECT(roadstead_pick(decision, NULL, &endpoint, &error) == ROADSTEAD_NO_HEALTHY_ENDPOINT);
  roadstead_decision_free(decision);
}

static int64_t stat_of(roadstead_engine *engine, const char *name) {
  roadstead_snapshot *snapshot;
  roadstead_stat stats[128];
  size_t count;
  int64_t found = -1;
  EXPECT(roadstead_snapshot_acquire(engine, &snapshot, &error) == ROADSTEAD_OK);
  EXPECT(roadstead_snapshot_stats(snapshot, str("c"), stats, 128, &count, &error) == ROADSTEAD_OK && count <= 128);
  for (size_t i = 0; i < count; i++)
    if (is(stats[i].name, name)) found = stats[i].value;
  roadstead_snapshot_release(snapshot);
  return found;
}

static void leases(roadstead_engine *engine) {
  roadstead_decision *decision;
  roadstead_lease *first, *second;
  roadstead_endpoint endpoint = {.struct_size = sizeof endpoint};
  roadstead_request request = asking("/x/");
  roadstead_choice pending = {.struct_size = sizeof pending, .flags = ROADSTEAD_CHOICE_PENDING | ROADSTEAD_CHOICE_RETRY};
  EXPECT(roadstead_decision_new(engine, &decision, &error) == ROADSTEAD_OK);
  EXPECT(roadstead_route(decision, &request, &error) == ROADSTEAD_OK);
  EXPECT(roadstead_lease_take(decision, NULL, &first, &error) == ROADSTEAD_OK);
  EXPECT(stat_of(engine, "upstream_rq_active") == 1);
  EXPECT(roadstead_lease_take(decision, NULL, &second, &error) == ROADSTEAD_OVERFLOW && second == NULL);
  EXPECT(strstr(error.message, "max_requests") != NULL);
  EXPECT(roadstead_lease_take(decision, &pending, &second, &error) == ROADSTEAD_OK);
  EXPECT(stat_of(engine, "upstream_rq_pending_active") == 1 && stat_of(engine, "upstream_rq_retry_active") == 1);
  EXPECT(roadstead_lease_ready(first, &error) == ROADSTEAD_OK);
  EXPECT(roadstead_lease_ready(second, &error) == ROADSTEAD_OVERFLOW);
  EXPECT(roadstead_lease_finish(first, 9, 0, 0, &error) == ROADSTEAD_RANGE);
  EXPECT(roadstead_lease_finish(first, ROADSTEAD_END_OK, 200, 0, &error) == ROADSTEAD_OK);
  EXPECT(roadstead_lease_finish(first, ROADSTEAD_END_RESET, 0, 0, &error) == ROADSTEAD_OK);
  EXPECT(stat_of(engine, "upstream_rq_active") == 0 && stat_of(engine, "upstream_rq_retry_active") == 0);
  /* A lease lives on when the rest is gone, and gives back what it holds when it is freed. */
  EXPECT(roadstead_lease_free(second) == ROADSTEAD_OK);
  EXPECT(roadstead_lease_take(decision, NULL, &second, &error) == ROADSTEAD_OK);
  roadstead_decision_free(decision);
  EXPECT(roadstead_lease_endpoint(second, &endpoint, &error) == ROADSTEAD_OK && endpoint.address.len == 8);
  EXPECT(stat_of(engine, "upstream_rq_active") == 1);
  EXPECT(roadstead_lease_free(second) == ROADSTEAD_OK && roadstead_lease_free(first) == ROADSTEAD_OK);
  EXPECT(stat_of(engine, "upstream_rq_active") == 0 && stat_of(engine, "upstream_rq_total") == 2);
}

static void health(roadstead_engine *engine) {
  static const char GROUPS[] = "[[\"\", 0, null, [[\"10.0.0.3\", 83, 0, 1, 0, null, \"\", \"\"]]]]";
  roadstead_snapshot *snapshot;
  roadstead_decision *decision;
  roadstead_endpoint endpoints[2] = {{.struct_size = sizeof *endpoints}, {.struct_size = sizeof *endpoints}};
  roadstead_request request = asking("/x/");
  roadstead_str name;
  roadstead_stat stats[64];
  size_t count;
  EXPECT(roadstead_engine_set_health(engine, str("c"), str("10.0.0.1"), 81, ROADSTEAD_UNHEALTHY, &error) == ROADSTEAD_OK);
  EXPECT(roadstead_snapshot_acquire(engine, &snapshot, &error) == ROADSTEAD_OK);
  EXPECT(roadstead_snapshot_clusters(snapshot, &name, 1, &count, &error) == ROADSTEAD_OK && count == 1 && is(name, "c"));
  EXPECT(roadstead_snapshot_endpoints(snapshot, name, endpoints, 2, &count, &error) == ROADSTEAD_OK && count == 2);
  EXPECT(endpoints[0].health == ROADSTEAD_UNHEALTHY && endpoints[1].health == ROADSTEAD_UNKNOWN);
  EXPECT(roadstead_snapshot_endpoint_stats(snapshot, name, 1, stats, 64, &count, &error) == ROADSTEAD_OK && count > 6);
  EXPECT(roadstead_snapshot_endpoint_stats(snapshot, name, 2, stats, 64, &count, &error) == ROADSTEAD_NOT_FOUND);
  EXPECT(roadstead_decision_new(engine, &decision, &error) == ROADSTEAD_OK);
  for (request.draw = 0; request.draw < 9; request.draw++) {
    roadstead_endpoint endpoint = {.struct_size = sizeof endpoint};
    EXPECT(roadstead_route(decision, &request, &error) == ROADSTEAD_OK);
    EXPECT(roadstead_pick(decision, NULL, &endpoint, &error) == ROADSTEAD_OK && endpoint.port == 82);
  }
  EXPECT(roadstead_engine_set_endpoints(engine, str("c"), (const uint8_t *)GROUPS, sizeof GROUPS - 1, &error) == ROADSTEAD_OK);
  EXPECT(roadstead_route(decision, &request, &error) == ROADSTEAD_OK);
  EXPECT(roadstead_pick(decision, NULL, endpoints, &error) == ROADSTEAD_OK && endpoints[0].port == 83);
  EXPECT(roadstead_engine_set_endpoints(engine, str("c"), (const uint8_t *)"[1]", 3, &error) == ROADSTEAD_SNAPSHOT);
  /* Bad bytes change nothing; good ones replace everything. */
  uint64_t version = roadstead_engine_version(engine);
  EXPECT(roadstead_engine_reload(engine, (const uint8_t *)MESH, 40, &error) == ROADSTEAD_SNAPSHOT);
  EXPECT(roadstead_engine_version(engine) == version && roadstead_engine_now(engine) == 5);
  const char *empty = "{\"format\": 1, \"outbound\": 1, \"units\": []}";
  EXPECT(roadstead_engine_reload(engine, (const uint8_t *)empty, strlen(empty), &error) == ROADSTEAD_OK);
  EXPECT(roadstead_route(decision, &request, &error) == ROADSTEAD_OK);
  EXPECT(roadstead_decision_kind(decision) == ROADSTEAD_REFUSED_HOST);
  EXPECT(roadstead_snapshot_clusters(snapshot, &name, 1, &count, &error) == ROADSTEAD_OK && count == 1);
  roadstead_snapshot_release(snapshot);
  roadstead_decision_free(decision);
}

/* Two answers of 500 in a row eject an endpoint; a tick after 30 seconds brings it back. */
static void ejections(roadstead_engine *engine) {
  const int64_t second = 1000000000;
  roadstead_decision *decision;
  roadstead_lease *lease;
  roadstead_request request = asking("/x/");
  EXPECT(roadstead_decision_new(engine, &decision, &error) == ROADSTEAD_OK);
  EXPECT(roadstead_engine_set_health(engine, str("c"), str("10.0.0.2"), 82, ROADSTEAD_UNHEALTHY, &error) == ROADSTEAD_OK);
  EXPECT(roadstead_engine_sweep(engine, 0) == -1 && roadstead_engine_sweep(NULL, 0) == -1);
  for (int i = 0; i < 2; i++) {
    EXPECT(roadstead_route(decision, &request, &error) == ROADSTEAD_OK);
    EXPECT(roadstead_lease_take(decision, NULL, &lease, &error) == ROADSTEAD_OK);
    EXPECT(roadstead_lease_finish(lease, i == 0 ? ROADSTEAD_END_OK : ROADSTEAD_END_TIMEOUT, 500, second, &error) == ROADSTEAD_OK);
    EXPECT(roadstead_lease_free(lease) == ROADSTEAD_OK);
  }
  EXPECT(stat_of(engine, "outlier_detection.ejections_active") == 1);
  EXPECT(roadstead_lease_take(decision, NULL, &lease, &error) == ROADSTEAD_NO_HEALTHY_ENDPOINT && lease == NULL);
  EXPECT(roadstead_engine_sweep(engine, 2 * second) > 0);
  roadstead_engine_sweep(engine, 50 * second);
  EXPECT(stat_of(engine, "outlier_detection.ejections_active") == 0);
  EXPECT(roadstead_lease_take(decision, NULL, &lease, &error) == ROADSTEAD_OK);
  EXPECT(roadstead_lease_free(lease) == ROADSTEAD_OK);
  roadstead_decision_free(decision);
}

/* Asks for a step, or reports; what follows is in `step`. */
#define DO(call) EXPECT((call) == ROADSTEAD_OK)

static void exchanges(roadstead_engine *engine) {
  const int64_t second = 1000000000;
  roadstead_decision *decision, *own;
  roadstead_exchange *first, *second_one;
  roadstead_answer answer = {.struct_size = sizeof answer};
  roadstead_endpoint tried = {.struct_size = sizeof tried}, again = {.struct_size = sizeof again};
  roadstead_step step = {.struct_size = sizeof step};
  roadstead_terms terms = {.struct_size = sizeof terms, .flags = ROADSTEAD_TERMS_PENDING};
  roadstead_request request = asking("/x/./z?q"), other = asking("/old");
  roadstead_header lines[2] = {{str("X-Envoy-Retry-On"), str("5xx")}, {str("k"), str("v")}}, out[8];
  size_t count;
  DO(roadstead_decision_new(engine, &decision, &error));
  EXPECT(roadstead_exchange_begin(decision, NULL, 5, &first, &error) == ROADSTEAD_EMPTY && first == NULL);
  DO(roadstead_connect(decision, &request, &error));
  EXPECT(roadstead_exchange_begin(decision, NULL, 5, &first, &error) == ROADSTEAD_RANGE);
  DO(roadstead_route(decision, &request, &error));
  terms.struct_size = 3;
  EXPECT(roadstead_exchange_begin(decision, &terms, 5, &first, &error) == ROADSTEAD_STRUCT_SIZE);
  DO(roadstead_exchange_begin(decision, NULL, 5, &first, &error));
  /* The place may be used for another request; the exchange keeps its own decision, to be read only. */
  DO(roadstead_route(decision, &other, &error));
  own = roadstead_exchange_decision(first);
  DO(roadstead_decision_answer(own, &answer, &error));
  EXPECT(is(answer.path, "/y/z?q") && is(answer.cluster, "c"));
  EXPECT(roadstead_route(own, &request, &error) == ROADSTEAD_HANDLE && strstr(error.message, "its exchange's") != NULL);
  EXPECT(roadstead_connect(own, &request, &error) == ROADSTEAD_HANDLE && roadstead_decision_free(own) == ROADSTEAD_HANDLE);
  EXPECT(roadstead_exchange_decision(NULL) == NULL);
  /* The first try. */
  DO(roadstead_exchange_step(first, &step, &error));
  EXPECT(step.what == ROADSTEAD_DO_TRY && step.attempts == 1 && step.has_deadline && step.deadline == 5 + 7 * second / 2);
  EXPECT(step.has_limit && step.limit == step.deadline && is(step.flags, "") && step.header_count == 2 && step.mirror_count == 0);
  DO(roadstead_exchange_endpoint(first, &tried, &error));
  DO(roadstead_exchange_apply(first, lines, 2, out, 8, &count, &error));
  EXPECT(count == 4 && is(out[0].name, "k") && is(out[1].name, "x-a") && is(out[2].name, "x-envoy-attempt-count"));
  EXPECT(is(out[2].value, "1") && is(out[3].value, "3500"));
  EXPECT(stat_of(engine, "upstream_rq_active") == 1);
  /* No more than one at a time. */
  DO(roadstead_route(decision, &request, &error));
  DO(roadstead_exchange_begin(decision, NULL, 5, &second_one, &error));
  DO(roadstead_exchange_step(second_one, &step, &error));
  EXPECT(step.what == ROADSTEAD_DO_RESPOND && step.status == 503 && is(step.flags, "UO") && step.header_count == 2);
  EXPECT(step.body.len > 20 && step.details.len > 20 && !step.has_deadline);
  EXPECT(roadstead_exchange_endpoint(second_one, &again, &error) == ROADSTEAD_NO_ENDPOINT);
  DO(roadstead_exchange_free(second_one));
  /* What does not fit changes nothing. */
  EXPECT(roadstead_exchange_ended(first, 6, &step, &error) == ROADSTEAD_REPORT && strstr(error.message, "ended") != NULL);
  EXPECT(roadstead_exchange_reset(first, 9, true, 6, &step, &error) == ROADSTEAD_RANGE);
  EXPECT(roadstead_exchange_reset(first, -1, true, 6, &step, &error) == ROADSTEAD_RANGE);
  step.struct_size = 8;
  EXPECT(roadstead_exchange_response(first, 200, NULL, 0, true, 6, &step, &error) == ROADSTEAD_STRUCT_SIZE);
  EXPECT(roadstead_exchange_response(first, 200, NULL, 1, true, 6, NULL, &error) == ROADSTEAD_NULL);
  step.struct_size = sizeof step;
  DO(roadstead_exchange_step(first, &step, &error));
  EXPECT(step.what == ROADSTEAD_DO_TRY && stat_of(engine, "upstream_rq_active") == 1);
  /* Tried again, elsewhere. */
  DO(roadstead_exchange_ready(first, 6, NULL, &error));
  DO(roadstead_exchange_response(first, 503, lines, 2, true, 7, &step, &error));
  EXPECT(step.what == ROADSTEAD_DO_DELAY && stat_of(engine, "upstream_rq_retry_active") == 1);
  EXPECT(stat_of(engine, "upstream_rq_active") == 0);
  DO(roadstead_exchange_expired(first, step.deadline, &step, &error));
  EXPECT(step.what == ROADSTEAD_DO_TRY && step.attempts == 2);
  DO(roadstead_exchange_endpoint(first, &again, &error));
  EXPECT(again.port + tried.port == 163);
  DO(roadstead_exchange_response(first, 200, NULL, 0, false, second, &step, &error));
  EXPECT(step.what == ROADSTEAD_DO_FORWARD && step.status == 200 && step.limit == 5 + 7 * second / 2);
  DO(roadstead_exchange_ended(first, second, &step, &error));
  EXPECT(step.what == ROADSTEAD_DO_NOTHING && step.status == 200 && is(step.details, "via_upstream") && !step.reset);
  DO(roadstead_exchange_cancel(first, second, &step, &error));
  EXPECT(step.what == ROADSTEAD_DO_NOTHING && step.status == 200);
  EXPECT(stat_of(engine, "upstream_rq_active") == 0 && stat_of(engine, "upstream_rq_retry_active") == 0);
  /* A copy, which outlives what it is of. */
  EXPECT(roadstead_exchange_mirror(first, str("none"), 5, &second_one, &error) == ROADSTEAD_NOT_FOUND && second_one == NULL);
  DO(roadstead_exchange_mirror(first, str("c"), 5, &second_one, &error));
  DO(roadstead_exchange_free(first));
  DO(roadstead_exchange_once(second_one, &error));
  DO(roadstead_exchange_response(second_one, 503, NULL, 0, true, 7, &step, &error));
  EXPECT(step.what == ROADSTEAD_DO_NOTHING && step.status == 503);
  DO(roadstead_exchange_free(second_one));
  /* One that is left in the middle gives back what it holds: a pending try, a retry that waits. */
  terms.struct_size = sizeof terms;
  DO(roadstead_exchange_begin(decision, &terms, 5, &first, &error));
  EXPECT(stat_of(engine, "upstream_rq_pending_active") == 1);
  DO(roadstead_exchange_free(first));
  EXPECT(stat_of(engine, "upstream_rq_pending_active") == 0);
  DO(roadstead_exchange_begin(decision, NULL, 5, &first, &error));
  DO(roadstead_exchange_reset(first, ROADSTEAD_CONNECTION_TERMINATION, true, 6, NULL, &error));
  EXPECT(stat_of(engine, "upstream_rq_retry_active") == 1);
  DO(roadstead_exchange_free(first));
  EXPECT(stat_of(engine, "upstream_rq_retry_active") == 0 && roadstead_exchange_free(NULL) == ROADSTEAD_OK);
  EXPECT(roadstead_exchange_step((roadstead_exchange *)decision, &step, &error) == ROADSTEAD_HANDLE);
  roadstead_decision_free(decision);
}

static void *many(void *engine) {
  roadstead_decision *decision;
  roadstead_request request = asking("/x/");
  EXPECT(roadstead_decision_new(engine, &decision, NULL) == ROADSTEAD_OK);
  request.flags = 0;
  for (int i = 0; i < 2000; i++) {
    roadstead_lease *lease;
    EXPECT(roadstead_route(decision, &request, NULL) == ROADSTEAD_OK);
    EXPECT(is(roadstead_decision_cluster(decision), "c"));
    if (roadstead_lease_take(decision, NULL, &lease, NULL) == ROADSTEAD_OK) {
      roadstead_endpoint endpoint = {.struct_size = sizeof endpoint};
      EXPECT(roadstead_lease_endpoint(lease, &endpoint, NULL) == ROADSTEAD_OK && endpoint.port > 80);
      roadstead_lease_finish(lease, ROADSTEAD_END_OK, 200, 0, NULL);
      roadstead_lease_free(lease);
    }
  }
  roadstead_decision_free(decision);
  return NULL;
}

static void threads(roadstead_engine *engine) {
  pthread_t running[3];
  for (int i = 0; i < 3; i++) EXPECT(pthread_create(&running[i], NULL, many, engine) == 0);
  for (int i = 0; i < 50; i++)
    EXPECT(roadstead_engine_reload(engine, (const uint8_t *)MESH, sizeof MESH - 1, NULL) == ROADSTEAD_OK);
  for (int i = 0; i < 3; i++) EXPECT(pthread_join(running[i], NULL) == 0);
  EXPECT(stat_of(engine, "upstream_rq_active") == 0);
}

int main(void) {
  static void (*const each[])(roadstead_engine *) = {arguments, answers, leases, health, ejections, exchanges, threads};
  EXPECT(roadstead_abi_version() == ROADSTEAD_ABI_VERSION);
  EXPECT(roadstead_api_table()->struct_size == sizeof(roadstead_api));
  bytes_that_are_none();
  for (size_t i = 0; i < sizeof each / sizeof *each; i++) {
    roadstead_engine *engine = loaded();
    each[i](engine);
    EXPECT(roadstead_engine_release(engine) == ROADSTEAD_OK);
  }
  return 0;
}
