/* Answers questions about a serialised snapshot: corpus SNAPSHOT < questions > answers, one JSON object a line.
 *
 * A question is fields of the form LENGTH:BYTES, a field of -1: is NULL: verb, host, port, path, method, scheme, source_ip, sni,
 * original host, original port, draw, number of headers, then name and value of each. */
#include <inttypes.h>
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
    request.draw = number(&at);
    request.flags = ROADSTEAD_REQUEST_DRAW;
    request.header_count = number(&at);
    for (size_t i = 0; i < request.header_count; i++) {
      headers[i].name = field(&at);
      headers[i].value = field(&at);
    }
    if (verb.data[0] == 'f') {
      roadstead_service service = {.struct_size = sizeof service};
      roadstead_status status = roadstead_find(snapshot, request.host, request.port, &service, &error);
      if (status != ROADSTEAD_OK && status != ROADSTEAD_NOT_FOUND) fail("find", &error);
      put(service.host, 0);
      putchar('\n');
    } else {
      roadstead_status status = verb.data[0] == 'r' ? roadstead_route(decision, &request, &error)
                                                    : roadstead_connect(decision, &request, &error);
      if (status != ROADSTEAD_OK) fail("decide", &error);
      decided(decision);
    }
  }
  roadstead_decision_free(decision);
  roadstead_snapshot_release(snapshot);
  roadstead_engine_release(engine);
  free(bytes);
  return 0;
}
