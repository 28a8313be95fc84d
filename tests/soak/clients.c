// SPDX-License-Identifier: Apache-2.0
//
// clients PORT SECONDS CLIENTS THINK BURST: asks the server on 127.0.0.1 as CLIENTS clients would, each of them with a socket
// of its own, for SECONDS or until SIGTERM, and judges every datagram that comes back. What it saw is printed as JSON.
//
// A client asks, waits for the reply, thinks for THINK milliseconds on average, and asks again. Every BURST seconds all
// of them ask at once. The right answer follows from the name: the upstreams give names an address made from
// their letters, and a Service has its number in its address. So a client can tell its own answer from another's.

#define _GNU_SOURCE
#include "measure.h"
#include <ctype.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/epoll.h>
#include <sys/resource.h>

enum {
    NAME_BYTES = 128,
    REPLY_BYTES = 4096,
    EVENTS = 256,
    BUSY_NAMES = 1000,
    SERVICES = 500,         // as in site_files.py
    LASTING_SERVICES = 400, // those after them come and go
    SHOWN = 10,
    REMEMBERED = 8, // a reply may come when the client has given up several queries
    SPARE_FILES = 64,
};
static const uint64_t MILLISECOND = 1000000, SECOND = 1000000000, LOST_AFTER = 6 * 1000000000ull, SCAN_EVERY = 4000000;

enum expectation { UPSTREAM_ADDRESS, SERVICE_ADDRESS, SERVICE_OR_NOTHING, NOTHING, NO_DATA };

struct question {
    uint16_t id;
    uint16_t length; // of the message, 0 if there is none
    int answered;
    enum expectation expectation;
    unsigned service;
    unsigned char bytes[NAME_BYTES + 16];
};

struct client {
    int fd;
    int waiting;
    uint64_t sent_at, wakes_at;
    struct question questions[REMEMBERED]; // those asked last, in a ring
    unsigned latest;
};

static struct client *clients;
static int client_count;
static uint32_t next_unique;
static volatile sig_atomic_t stopped;
static struct latencies latencies;
static long sent, right, failed, lost, late, foreign, twice, wrong;
static char examples[SHOWN][256];
static int example_count;

static void stop(int signal) {
    (void)signal;
    stopped = 1;
}

__attribute__((format(printf, 1, 2))) static void show(const char *format, ...) {
    if (example_count == SHOWN) return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(examples[example_count++], sizeof examples[0], format, arguments);
    va_end(arguments);
}

// The wire form of a name in text; its length.
static unsigned write_name(unsigned char *to, const char *text) {
    unsigned char *start = to, *length = to++;
    for (; *text; text++) {
        if (*text != '.') {
            *to++ = (unsigned char)*text;
            continue;
        }
        *length = (unsigned char)(to - length - 1);
        length = to++;
    }
    *length = 0;
    return (unsigned)(to - start);
}

static void name_text(const unsigned char *name, char text[NAME_BYTES]) {
    unsigned at = 0, end = 0;
    while (name[at] && end + name[at] + 2u < NAME_BYTES) {
        for (unsigned i = 1; i <= name[at]; i++) text[end++] = isgraph(name[at + i]) ? (char)name[at + i] : '?';
        text[end++] = '.';
        at += 1u + name[at];
    }
    text[end] = 0;
}

static uint32_t crc32(const unsigned char *bytes, unsigned length) {
    uint32_t crc = 0xffffffffu;
    for (unsigned i = 0; i < length; i++) {
        crc ^= (uint32_t)tolower(bytes[i]);
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (0xedb88320u & -(crc & 1));
    }
    return ~crc;
}

static void make_question(struct question *question) {
    char name[NAME_BYTES];
    unsigned type = 1, kind = next_random() % 100;
    question->service = next_random() % SERVICES;
    question->answered = 0;
    if (kind < 35) {
        snprintf(name, sizeof name, "u%08x.soak.test.", next_unique++);
        question->expectation = UPSTREAM_ADDRESS;
    } else if (kind < 60) {
        snprintf(name, sizeof name, "b%u.soak.test.", next_random() % BUSY_NAMES);
        type = kind < 55 ? 1 : 28;
        question->expectation = type == 1 ? UPSTREAM_ADDRESS : NO_DATA;
    } else if (kind < 62) { // comes truncated over UDP, so the server has to ask again over TCP
        snprintf(name, sizeof name, "trunc-u%08x.soak.test.", next_unique++);
        question->expectation = UPSTREAM_ADDRESS;
    } else if (kind < 65) {
        snprintf(name, sizeof name, "nx-u%08x.soak.test.", next_unique++);
        question->expectation = NOTHING;
    } else if (kind < 75) { // what a search list makes, and what sets warmup off
        snprintf(name, sizeof name, "b%u.soak.test.soak.svc.cluster.local.", next_random() % BUSY_NAMES);
        question->expectation = NOTHING;
    } else {
        snprintf(name, sizeof name, "service-%u.soak.svc.cluster.local.", question->service);
        question->expectation = question->service < LASTING_SERVICES ? SERVICE_ADDRESS : SERVICE_OR_NOTHING;
    }
    question->id = (uint16_t)next_random();
    memset(question->bytes, 0, HEADER_BYTES);
    question->bytes[0] = (unsigned char)(question->id >> 8);
    question->bytes[1] = (unsigned char)question->id;
    question->bytes[2] = 1; // RD
    question->bytes[5] = 1;
    unsigned end = HEADER_BYTES + write_name(question->bytes + HEADER_BYTES, name);
    question->bytes[end + 1] = (unsigned char)type;
    question->bytes[end] = question->bytes[end + 2] = 0;
    question->bytes[end + 3] = 1;
    question->length = (uint16_t)(end + 4);
}

static int has_question(const struct question *question, const unsigned char *reply, size_t length) {
    return question->length && length >= question->length && reply[0] == question->bytes[0] &&
           reply[1] == question->bytes[1] && reply[2] & 0x80 &&
           !memcmp(reply + HEADER_BYTES, question->bytes + HEADER_BYTES, (size_t)question->length - HEADER_BYTES);
}

// The address of the first answer, 0 if that is no A record.
static uint32_t first_address(const struct question *question, const unsigned char *reply, size_t length) {
    const unsigned char *record = reply + question->length;
    if (length < question->length + 16u || memcmp(record, "\xc0\x0c\0\1\0\1", 6) || memcmp(record + 10, "\0\4", 2)) return 0;
    return (uint32_t)record[12] << 24 | (uint32_t)record[13] << 16 | (uint32_t)record[14] << 8 | record[15];
}

static int is_right(const struct question *question, const unsigned char *reply, size_t length) {
    int rcode = reply[3] & 15, answers = reply[6] << 8 | reply[7];
    int nothing = rcode == 3 && !answers;
    uint32_t address = rcode == 0 && answers == 1 ? first_address(question, reply, length) : 0;
    uint32_t crc = crc32(question->bytes + HEADER_BYTES, question->length - HEADER_BYTES - 4u);
    int service = address >> 24 == 10 && (address & 0xffff) == question->service;
    switch (question->expectation) {
    case UPSTREAM_ADDRESS: return address == (10u << 24 | (crc & 0xffffff));
    case SERVICE_ADDRESS: return service;
    case SERVICE_OR_NOTHING: return service || nothing;
    case NOTHING: return nothing;
    case NO_DATA: return rcode == 0 && !answers;
    }
    return 0;
}

static void think(struct client *client, uint64_t now, uint64_t average) {
    client->waiting = 0;
    client->wakes_at = now + (average ? (uint64_t)next_random() * 2 * average / UINT32_MAX : 0);
}

static void take_reply(struct client *client, const unsigned char *reply, size_t length, uint64_t now, uint64_t average) {
    char name[NAME_BYTES] = "";
    if (length >= HEADER_BYTES + 5) name_text(reply + HEADER_BYTES, name);
    struct question *latest = &client->questions[client->latest];
    if (client->waiting && has_question(latest, reply, length)) {
        int rcode = reply[3] & 15;
        add_latency(&latencies, now - client->sent_at);
        latest->answered = 1;
        if (is_right(latest, reply, length)) {
            right++;
        } else if (rcode == 2 || rcode == 5) {
            failed++;
        } else {
            wrong++;
            show("wrong: %s rcode %d, %d answers, %08x", name, rcode, reply[6] << 8 | reply[7],
                 first_address(latest, reply, length));
        }
        think(client, now, average);
        return;
    }
    const struct question *known = NULL;
    for (unsigned i = 0; i < REMEMBERED && !known; i++) {
        const struct question *question = &client->questions[(client->latest + REMEMBERED - i) % REMEMBERED];
        if (has_question(question, reply, length)) known = question;
    }
    if (!known) {
        foreign++;
        show("of another: %s", name);
    } else if (known->answered) {
        twice++;
        show("twice: %s", name);
    } else {
        late++; // after it was given up
    }
}

static void ask(struct client *client, uint64_t now) {
    client->latest = (client->latest + 1) % REMEMBERED;
    struct question *question = &client->questions[client->latest];
    make_question(question);
    client->waiting = 1;
    client->sent_at = now;
    sent++;
    send(client->fd, question->bytes, question->length, 0);
}

static long scan(uint64_t now, int asking, int all, uint64_t average) {
    long waiting = 0;
    for (int i = 0; i < client_count; i++) {
        struct client *client = &clients[i];
        if (client->waiting && now - client->sent_at > LOST_AFTER) {
            lost++;
            think(client, now, average);
        }
        if (asking && !client->waiting && (all || client->wakes_at <= now)) ask(client, now);
        waiting += client->waiting;
    }
    return waiting;
}

static void receive(int epoll, uint64_t average) {
    static struct epoll_event events[EVENTS];
    unsigned char reply[REPLY_BYTES];
    int count = epoll_wait(epoll, events, EVENTS, 2);
    uint64_t now = now_nanoseconds();
    for (int i = 0; i < count; i++) {
        struct client *client = &clients[events[i].data.u32];
        ssize_t length;
        while ((length = recv(client->fd, reply, sizeof reply, 0)) > 0) take_reply(client, reply, (size_t)length, now, average);
    }
}

static void run(double seconds, uint64_t average, uint64_t burst) {
    int epoll = epoll_create1(0);
    uint64_t now = now_nanoseconds(), end = now + (uint64_t)(seconds * 1e9), next_scan = 0, next_burst = now + burst;
    for (int i = 0; i < client_count; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)i};
        epoll_ctl(epoll, EPOLL_CTL_ADD, clients[i].fd, &event);
        think(&clients[i], now, average);
    }
    long waiting = 1;
    // At the end nothing more is asked, but what comes then is still judged: a second answer may be on its way.
    for (uint64_t give_up = 0; waiting || !give_up || now < give_up - LOST_AFTER + SECOND;) {
        receive(epoll, average);
        now = now_nanoseconds();
        if (!give_up && (stopped || now >= end)) give_up = now + LOST_AFTER;
        if (now < next_scan) continue;
        next_scan = now + SCAN_EVERY;
        int all = burst && now >= next_burst;
        if (all) next_burst = now + burst;
        waiting = scan(now, !give_up, all, average);
    }
    close(epoll);
}

static int open_clients(int port, int wanted) {
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    if (files.rlim_cur < (rlim_t)wanted + SPARE_FILES) {
        fprintf(stderr, "clients: %d sockets are not allowed, only %ld files\n", wanted, (long)files.rlim_cur);
        return 0;
    }
    clients = calloc((size_t)wanted, sizeof *clients);
    if (!clients) abort();
    for (int i = 0; i < wanted; i++) clients[i].fd = connected_socket("clients", port);
    client_count = wanted;
    return 1;
}

static void print_findings(void) {
    printf("{\"sent\": %ld, \"right\": %ld, \"failed\": %ld, \"lost\": %ld, \"late\": %ld, ", sent, right, failed, lost, late);
    printf("\"foreign\": %ld, \"twice\": %ld, \"wrong\": %ld, ", foreign, twice, wrong);
    printf("\"p50_us\": %d, \"p99_us\": %d, \"examples\": [", latency_at(&latencies, 0.50), latency_at(&latencies, 0.99));
    for (int i = 0; i < example_count; i++) {
        printf("%s\"", i ? ", " : "");
        for (const char *at = examples[i]; *at; at++) putchar(*at == '"' || *at == '\\' ? '?' : *at);
        printf("\"");
    }
    printf("]}\n");
}

int main(int argc, char **argv) {
    if (argc != 6) {
        fprintf(stderr, "usage: clients PORT SECONDS CLIENTS THINK BURST\n");
        return 2;
    }
    signal(SIGTERM, stop);
    if (!open_clients(atoi(argv[1]), atoi(argv[3]))) return 1;
    run(atof(argv[2]), strtoull(argv[4], NULL, 10) * MILLISECOND, (uint64_t)(atof(argv[5]) * (double)SECOND));
    print_findings();
    return 0;
}
