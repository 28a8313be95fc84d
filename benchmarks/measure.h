// SPDX-License-Identifier: Apache-2.0
//
// What the programs of the benchmark share: a clock, cheap chance, latencies by the microsecond, UDP sockets of 127.0.0.1,
// and queries that are read in and made unique.

#ifndef MEASURE_H
#define MEASURE_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>

enum {
    HEADER_BYTES = 12,
    QUERY_BYTES = 512,
    DIGITS = 8, // of the number that makes a name unique
    SLOWEST_MICROSECONDS = 2000000,
    SOCKET_BUFFER_BYTES = 4 << 20,
};

// A machine that does other things, too, may leave a server no time for so long; then a round is longer than it was to be.
static const uint64_t PATIENCE_NANOSECONDS = 5000000000;

static inline uint64_t now_nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

// Sleeps end when they should, not up to 50 microseconds later (prctl(2)).
static inline void sleep_exactly(void) { prctl(PR_SET_TIMERSLACK, 1000, 0, 0, 0); }

static inline struct timespec timespec_of(uint64_t nanoseconds) {
    return (struct timespec){.tv_sec = (time_t)(nanoseconds / 1000000000u), .tv_nsec = (long)(nanoseconds % 1000000000u)};
}

static inline uint32_t next_random(void) {
    static uint32_t state = 2463534242u; // xorshift32 (Marsaglia 2003): the same sequence in every run
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state;
}

// Latencies

struct latencies {
    long counts[SLOWEST_MICROSECONDS + 1]; // by microseconds, the slower ones in the last
    long total;
};

static inline void add_latency(struct latencies *latencies, uint64_t nanoseconds) {
    uint64_t microseconds = nanoseconds / 1000;
    latencies->counts[microseconds < SLOWEST_MICROSECONDS ? microseconds : SLOWEST_MICROSECONDS]++;
    latencies->total++;
}

static inline int latency_at(const struct latencies *latencies, double share) {
    long below = 0, target = (long)((double)latencies->total * share);
    for (int i = 0; i <= SLOWEST_MICROSECONDS; i++) {
        below += latencies->counts[i];
        if (below > target) return i;
    }
    return 0;
}

static inline void print_rcodes(const long rcodes[16]) {
    const char *separator = "";
    printf("{");
    for (int i = 0; i < 16; i++) {
        if (!rcodes[i]) continue;
        printf("%s\"%d\": %ld", separator, i, rcodes[i]);
        separator = ", ";
    }
    printf("}");
}

// Sockets

static inline int open_socket(const char *program, int flags) {
    int fd = socket(AF_INET, SOCK_DGRAM | flags, 0);
    int buffer_bytes = SOCKET_BUFFER_BYTES;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer_bytes, sizeof buffer_bytes);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer_bytes, sizeof buffer_bytes); // where it is allowed
    if (fd < 0) {
        perror(program);
        exit(1);
    }
    return fd;
}

static inline struct sockaddr_in loopback(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

static inline int connected_socket(const char *program, int port) {
    int fd = open_socket(program, SOCK_NONBLOCK);
    struct sockaddr_in address = loopback(port);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        perror(program);
        exit(1);
    }
    return fd;
}

static inline int bound_socket(const char *program, int port, int flags) {
    int fd = open_socket(program, flags);
    struct sockaddr_in address = loopback(port);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        perror(program);
        exit(1);
    }
    return fd;
}

// Queries

struct query {
    uint16_t length;
    int question_end; // 0 if there is no question
    int digits; // where the number is that makes the name unique, 0 without one
    unsigned char bytes[QUERY_BYTES];
};

static inline int find_question_end(const struct query *query) {
    int at = HEADER_BYTES;
    while (at < query->length && query->bytes[at]) at += 1 + query->bytes[at];
    return at + 5 <= query->length ? at + 5 : 0;
}

static inline int find_digits(const struct query *query) {
    static const unsigned char zeroes[] = "00000000";
    for (int i = HEADER_BYTES; i + DIGITS <= query->length; i++)
        if (!memcmp(query->bytes + i, zeroes, DIGITS)) return i;
    return 0;
}

// All messages of the input, each behind its length in two bytes, high byte first (RFC 1035 section 4.2.2).
static inline struct query *read_queries(const char *program, FILE *input, size_t *count) {
    struct query *queries = NULL;
    size_t room = 0;
    int high, low;
    *count = 0;
    while ((high = getc(input)) != EOF && (low = getc(input)) != EOF) {
        if (*count == room) {
            room = room ? room * 2 : 1024;
            queries = realloc(queries, room * sizeof *queries);
            if (!queries) abort();
        }
        struct query *query = &queries[(*count)++];
        query->length = (uint16_t)(high << 8 | low);
        if (query->length < HEADER_BYTES || query->length > QUERY_BYTES ||
            fread(query->bytes, 1, query->length, input) != query->length) {
            fprintf(stderr, "%s: query %zu is cut off, or not 12 to %d bytes long\n", program, *count, QUERY_BYTES);
            exit(2);
        }
        query->question_end = find_question_end(query);
        query->digits = find_digits(query);
    }
    if (!*count) {
        fprintf(stderr, "%s: no queries on standard input\n", program);
        exit(2);
    }
    return queries;
}

// Copies a query with the ID, and with the number in the place of its digits if it has some.
static inline void write_query(unsigned char *copy, const struct query *query, uint16_t id, uint64_t number) {
    memcpy(copy, query->bytes, query->length);
    copy[0] = (unsigned char)(id >> 8);
    copy[1] = (unsigned char)id;
    if (!query->digits) return;
    for (int i = DIGITS - 1; i >= 0; i--, number /= 10) copy[query->digits + i] = (unsigned char)('0' + number % 10);
}

#endif
