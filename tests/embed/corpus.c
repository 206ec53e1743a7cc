/* Answers questions about a serialised snapshot: corpus SNAPSHOT < questions > answers, one JSON object a line.
 *
 * A question is fields of the form LENGTH:BYTES, a field of -1: is NULL: verb, host, port, path, method, scheme, source_ip, sni,
 * original host, original port, draw (NULL: the engine's own), number of headers, then name and value of each. What follows of an
 * exchange: flags of its terms, number of reports, and of each instant, name, number, "more" or NULL, and header lines. Of ejections: number of
 * steps, and of each instant, what, and how: end and status of a lease, address, port and mark of a health check. */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "roadstead.h"

#define PICKS 8
#define ROOM 64

static char *whole(FILE *file, size_t *length) {
  size_t room = 1 << 16;
  char *data = malloc(room);
  *length = 0;
  for (size_t got; (got = fread(data + *length, 1, room - *length, file)) > 0;) {
    *length += got;
    if (*length == room) data = realloc(data, room *= 2);
  }
  return data;
}

/* The next field; its bytes are those of the input. */
static roadstead_str field(const char **at) {
  char *end;
  long length = strtol(*at, &end, 10);
  roadstead_str made = {NULL, 0};
  *at = end + 1;
  if (length >= 0) {
    made.data = *at;
    made.len = (size_t)length;
    *at += length;
  }
  return made;
}

static uint64_t number(const char **at) {
  roadstead_str digits = field(at);
  uint64_t made = 0;
  for (size_t i = 0; i < digits.len; i++) made = made * 10 + (uint64_t)(digits.data[i] - '0');
  return made;
}

static bool is(roadstead_str text, const char *word) {
  return text.len == strlen(word) && memcmp(text.data, word, text.len) == 0;
}

static void put(roadstead_str text, int latin) {
  if (text.data == NULL) {
    fputs("null", stdout);
    return;
  }
  putchar('"');
  for (size_t i = 0; i < text.len; i++) {
    unsigned char one = (unsigned char)text.data[i];
    if (one < 0x20 || one == '"' || one == '\\' || (latin && one >= 0x80))
      printf("\\u%04x", one);
    else
      putchar(one);
  }
  putchar('"');
}

static void named(const char *name, roadstead_str text) {
  printf(", \"%s\": ", name);
  put(text, 0);
}

static void list(const char *name, const roadstead_str *texts, size_t count) {
  printf(", \"%s\": [", name);
  for (size_t i = 0; i < count; i++) {
    if (i > 0) putchar(',');
    put(texts[i], 0);
  }
  putchar(']');
}

static void operations(const char *name, const roadstead_header_op *ops, size_t count) {
  static const char *const words[] = {"set", "add", "remove", "add_if_absent"};
  printf(", \"%s\": [", name);
  for (size_t i = 0; i < count; i++) {
    printf("%s[\"%s\", ", i > 0 ? "," : "", words[ops[i].op]);
    put(ops[i].name, 0);
    putchar(',');
    put(ops[i].value, 0);
    putchar(']');
  }
  putchar(']');
}

static void fail(const char *what, const roadstead_error *error) {
  fprintf(stderr, "%s: status %d: %s\n", what, error->status, error->message);
  exit(1);
}

static void picks(roadstead_decision *decision) {
  printf(", \"picks\": [");
  for (int i = 0; i < PICKS; i++) {
    roadstead_endpoint endpoint = {.struct_size = sizeof endpoint};
    roadstead_error error = {.struct_size = sizeof error};
    roadstead_status status = roadstead_pick(decision, NULL, &endpoint, &error);
    if (i > 0) putchar(',');
    if (status == ROADSTEAD_OK)
      printf("\"%.*s:%u\"", (int)endpoint.address.len, endpoint.address.data, endpoint.port);
    else if (status == ROADSTEAD_NO_HEALTHY_ENDPOINT)
      printf("\"NoHealthyEndpoint\"");
    else
      fail("pick", &error);
  }
  putchar(']');
}

static void decided(roadstead_decision *decision) {
  static const char *const kinds[] = {"nothing",     "forward", "redirect",  "direct_response",
                                      "passthrough", "refused", "not_found", "no_cluster"};
  roadstead_error error = {.struct_size = sizeof error};
  roadstead_answer a = {.struct_size = sizeof a};
  roadstead_str reasons[ROOM];
  size_t count;
  if (roadstead_decision_answer(decision, &a, &error) != ROADSTEAD_OK) fail("answer", &error);
  if (roadstead_decision_reasons(decision, reasons, ROOM, &count, &error) != ROADSTEAD_OK) fail("reasons", &error);
  printf("{\"kind\": \"%s\", \"status\": %u", kinds[a.kind], a.status);
  named("flags", a.flags);
  named("service", a.service);
  named("cluster", a.cluster);
  printf(", \"route\": %d, \"destination\": %d", a.route, a.destination);
  named("path", a.path);
  named("authority", a.authority);
  operations("request_headers", a.request_ops, a.request_op_count);
  operations("response_headers", a.response_ops, a.response_op_count);
  printf(", \"redirect\": ");
  if (a.location.data != NULL) {
    printf("[%u, ", a.status);
    put(a.location, 0);
    putchar(']');
  } else {
    printf("null");
  }
  printf(", \"direct_response\": ");
  if (a.body.data != NULL) {
    printf("[%u, ", a.status);
    put(a.body, 1);
    putchar(']');
  } else {
    printf("null");
  }
  if (a.delay > 0 || a.abort_status != 0 || a.abort_grpc_status >= 0)
    printf(", \"fault\": [%.17g, %u, %d]", a.delay, a.abort_status, a.abort_grpc_status);
  else
    printf(", \"fault\": null");
  list("mirrors", a.mirrors, a.mirror_count);
  list("set_cookies", a.set_cookies, a.set_cookie_count);
  if (a.has_hash)
    printf(", \"hash\": \"%016" PRIx64 "\"", a.hash);
  else
    printf(", \"hash\": null");
  printf(", \"application_tls\": %s", a.application_tls ? "true" : "false");
  list("reasons", reasons, count);
  /* The corpus asks for picks where there is a cluster, be it one without endpoints. */
  if (a.kind == ROADSTEAD_FORWARD || a.kind == ROADSTEAD_PASSTHROUGH || a.kind == ROADSTEAD_REFUSED_HOST)
    picks(decision);
  else
    printf(", \"picks\": []");
  printf("}\n");
}

static void pairs(const roadstead_header *headers, size_t count) {
  putchar('[');
  for (size_t i = 0; i < count; i++) {
    printf("%s[", i > 0 ? "," : "");
    put(headers[i].name, 0);
    putchar(',');
    put(headers[i].value, 0);
    putchar(']');
  }
  putchar(']');
}

static void instant(bool known, int64_t at) {
  if (known)
    printf(", %" PRId64, at);
  else
    printf(", null");
}

/* A step as the corpus writes it: its class, its fields. */
static void stepped(roadstead_exchange *exchange, const roadstead_step *step) {
  static const char *const classes[] = {"Delay", "Try", "Forward", "Respond", "Done"};
  roadstead_error error = {.struct_size = sizeof error};
  roadstead_endpoint endpoint = {.struct_size = sizeof endpoint};
  printf("[\"%s\"", classes[step->what]);
  switch ((roadstead_do)step->what) {
    case ROADSTEAD_DO_DELAY:
      instant(step->has_deadline, step->deadline);
      break;
    case ROADSTEAD_DO_TRY:
      if (roadstead_exchange_endpoint(exchange, &endpoint, &error) != ROADSTEAD_OK) fail("endpoint", &error);
      printf(", \"%.*s:%u\", %u", (int)endpoint.address.len, endpoint.address.data, endpoint.port, step->attempts);
      instant(step->has_deadline, step->deadline);
      printf(", ");
      pairs(step->headers, step->header_count);
      printf(", [");
      for (size_t i = 0; i < step->mirror_count; i++) {
        if (i > 0) putchar(',');
        put(step->mirrors[i], 0);
      }
      putchar(']');
      break;
    case ROADSTEAD_DO_FORWARD:
      printf(", %u, ", step->status);
      put(step->flags, 0);
      instant(step->has_deadline, step->deadline);
      break;
    case ROADSTEAD_DO_RESPOND:
      printf(", %u, ", step->status);
      pairs(step->headers, step->header_count);
      printf(", ");
      put(step->body, 1);
      printf(", ");
      put(step->flags, 0);
      printf(", ");
      put(step->details, 0);
      break;
    case ROADSTEAD_DO_NOTHING:
      printf(", %u, ", step->status);
      put(step->flags, 0);
      printf(", ");
      put(step->details, 0);
      printf(", %s", step->reset ? "true" : "false");
      break;
  }
  putchar(']');
}

static roadstead_status reported(roadstead_exchange *exchange, const char **at, roadstead_step *step, roadstead_error *error) {
  int64_t now = (int64_t)number(at);
  roadstead_str name = field(at);
  uint16_t given = (uint16_t)number(at);
  bool more = field(at).data != NULL;
  roadstead_header headers[ROOM];
  size_t count = number(at);
  for (size_t i = 0; i < count; i++) {
    headers[i].name = field(at);
    headers[i].value = field(at);
  }
  if (is(name, "response")) return roadstead_exchange_response(exchange, given, headers, count, !more, now, step, error);
  if (is(name, "reset")) return roadstead_exchange_reset(exchange, given, true, now, step, error);
  if (is(name, "received")) return roadstead_exchange_received(exchange, now, step, error);
  if (is(name, "ready")) return roadstead_exchange_ready(exchange, now, step, error);
  if (is(name, "ended")) return roadstead_exchange_ended(exchange, now, step, error);
  if (is(name, "expired")) return roadstead_exchange_expired(exchange, now, step, error);
  if (is(name, "cancel")) return roadstead_exchange_cancel(exchange, now, step, error);
  exit(2);
}

static void carried(roadstead_decision *decision, const char **at) {
  roadstead_error error = {.struct_size = sizeof error};
  roadstead_terms terms = {.struct_size = sizeof terms, .flags = (uint32_t)number(at)};
  roadstead_step step = {.struct_size = sizeof step};
  roadstead_exchange *exchange;
  if (roadstead_exchange_begin(decision, &terms, 0, &exchange, &error) != ROADSTEAD_OK) fail("begin", &error);
  if (roadstead_exchange_step(exchange, &step, &error) != ROADSTEAD_OK) fail("step", &error);
  putchar('[');
  stepped(exchange, &step);
  for (uint64_t left = number(at); left > 0; left--) {
    if (reported(exchange, at, &step, &error) != ROADSTEAD_OK) fail("report", &error);
    putchar(',');
    stepped(exchange, &step);
  }
  printf("]\n");
  roadstead_exchange_cancel(exchange, 0, NULL, NULL);
  roadstead_exchange_free(exchange);
}

/* The endpoint of a lease that ends like that. */
static void used(roadstead_decision *decision, const char **at, int64_t now) {
  roadstead_error error = {.struct_size = sizeof error};
  roadstead_endpoint endpoint = {.struct_size = sizeof endpoint};
  roadstead_lease *lease;
  int32_t end = (int32_t)number(at);
  uint16_t status = (uint16_t)number(at);
  roadstead_status taken = roadstead_lease_take(decision, NULL, &lease, &error);
  if (taken == ROADSTEAD_NO_HEALTHY_ENDPOINT) {
    printf("\"NoHealthyEndpoint\"");
    return;
  }
  if (taken != ROADSTEAD_OK || roadstead_lease_finish(lease, end, status, now, &error) != ROADSTEAD_OK) fail("lease", &error);
  if (roadstead_lease_endpoint(lease, &endpoint, &error) != ROADSTEAD_OK) fail("endpoint", &error);
  printf("\"%.*s:%u\"", (int)endpoint.address.len, endpoint.address.data, endpoint.port);
  roadstead_lease_free(lease);
}

static void numbers(const roadstead_stat *stats, size_t count, const char *prefix) {
  const char *before = "{";
  for (size_t i = 0; i < count; i++) {
    if (stats[i].name.len < strlen(prefix) || memcmp(stats[i].name.data, prefix, strlen(prefix)) != 0) continue;
    printf("%s", before);
    put(stats[i].name, 0);
    printf(": %" PRId64, stats[i].value);
    before = ", ";
  }
  putchar('}');
}

static void ejected(roadstead_engine *engine, roadstead_decision *decision, roadstead_request *request, const char **at) {
  roadstead_error error = {.struct_size = sizeof error};
  roadstead_snapshot *snapshot;
  roadstead_stat stats[ROOM];
  size_t count, endpoints = 0;
  printf("{\"steps\": [");
  uint64_t steps = number(at);
  for (request->draw = 0; request->draw < steps; request->draw++) {
    int64_t now = (int64_t)number(at);
    roadstead_str what = field(at);
    if (request->draw > 0) putchar(',');
    if (is(what, "lease")) {
      request->flags = ROADSTEAD_REQUEST_DRAW;
      if (roadstead_route(decision, request, &error) != ROADSTEAD_OK) fail("route", &error);
      used(decision, at, now);
    } else if (is(what, "sweep")) {
      int64_t next = roadstead_engine_sweep(engine, now);
      if (next < 0)
        printf("null");
      else
        printf("%" PRId64, next);
    } else {
      roadstead_str address = field(at);
      uint16_t port = (uint16_t)number(at);
      int32_t mark = (int32_t)number(at);
      roadstead_str cluster = roadstead_decision_cluster(decision);
      if (roadstead_engine_set_health(engine, cluster, address, port, mark, &error) != ROADSTEAD_OK) fail("health", &error);
      printf("null");
    }
  }
  if (roadstead_snapshot_acquire(engine, &snapshot, &error) != ROADSTEAD_OK) fail("snapshot", &error);
  roadstead_str cluster = roadstead_decision_cluster(decision);
  if (roadstead_snapshot_stats(snapshot, cluster, stats, ROOM, &count, &error) != ROADSTEAD_OK) fail("stats", &error);
  printf("], \"stats\": ");
  numbers(stats, count, "outlier_detection.");
  printf(", \"endpoints\": [");
  roadstead_snapshot_endpoints(snapshot, cluster, NULL, 0, &endpoints, NULL);
  for (size_t i = 0; i < endpoints; i++) {
    if (i > 0) putchar(',');
    if (roadstead_snapshot_endpoint_stats(snapshot, cluster, i, stats, ROOM, &count, &error) != ROADSTEAD_OK) fail("stats", &error);
    numbers(stats, count, "");
  }
  printf("]}\n");
  roadstead_snapshot_release(snapshot);
}

int main(int argc, char **argv) {
  roadstead_error error = {.struct_size = sizeof error};
  roadstead_options options = {.struct_size = sizeof options, .flags = ROADSTEAD_OPTIONS_SEED, .seed = 0};
  roadstead_engine *engine;
  roadstead_snapshot *snapshot;
  roadstead_decision *decision;
  FILE *file = argc == 2 ? fopen(argv[1], "rb") : NULL;
  if (file == NULL || roadstead_abi_version() != ROADSTEAD_ABI_VERSION) return 2;
  size_t length;
  char *bytes = whole(file, &length);
  fclose(file);
  if (roadstead_engine_load((const uint8_t *)bytes, length, &options, &engine, &error) != ROADSTEAD_OK)
    fail("load", &error);
  free(bytes);
  if (roadstead_snapshot_acquire(engine, &snapshot, &error) != ROADSTEAD_OK) fail("snapshot", &error);
  if (roadstead_decision_new(engine, &decision, &error) != ROADSTEAD_OK) fail("decision", &error);

  bytes = whole(stdin, &length);
  bytes = realloc(bytes, length + 1);
  bytes[length] = '\0';
  for (const char *at = bytes; at < bytes + length;) {
    roadstead_header headers[ROOM];
    roadstead_str verb = field(&at);
    roadstead_request request = {.struct_size = sizeof request, .headers = headers};
    request.host = field(&at);
    request.port = (uint16_t)number(&at);
    request.path = field(&at);
    request.method = field(&at);
    request.scheme = field(&at);
    request.source_ip = field(&at);
    request.sni = field(&at);
    request.original_host = field(&at);
    request.original_port = (uint16_t)number(&at);
    if (*at != '-') request.flags = ROADSTEAD_REQUEST_DRAW;
    request.draw = number(&at);
    request.header_count = number(&at);
    for (size_t i = 0; i < request.header_count; i++) {
      headers[i].name = field(&at);
      headers[i].value = field(&at);
    }
    if (is(verb, "find")) {
      roadstead_service service = {.struct_size = sizeof service};
      roadstead_status status = roadstead_find(snapshot, request.host, request.port, &service, &error);
      if (status != ROADSTEAD_OK && status != ROADSTEAD_NOT_FOUND) fail("find", &error);
      put(service.host, 0);
      putchar('\n');
    } else {
      roadstead_status status = is(verb, "connect") ? roadstead_connect(decision, &request, &error)
                                                    : roadstead_route(decision, &request, &error);
      if (status != ROADSTEAD_OK) fail("decide", &error);
      if (is(verb, "exchange"))
        carried(decision, &at);
      else if (is(verb, "ejections"))
        ejected(engine, decision, &request, &at);
      else
        decided(decision);
    }
  }
  roadstead_decision_free(decision);
  roadstead_snapshot_release(snapshot);
  roadstead_engine_release(engine);
  free(bytes);
  return 0;
}
