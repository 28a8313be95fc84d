// SPDX-License-Identifier: Apache-2.0
//
// search PORT SECONDS CLIENTS PAUSE SOCKETS FIRST < QUERIES: clients that try their search list, and prints what they got as
// JSON.
//
// QUERIES, framed as for load, are the steps of one client in order: the name with each of the search domains, then the
// name itself. Each client asks them one after the other, PAUSE microseconds after the reply (its resolver and the network
// take that long), then begins anew. Eight zeroes in the names are replaced by the number of the attempt, from FIRST on. A
// client whose query is not answered within a second begins anew, and the query counts as lost.

#define _GNU_SOURCE
#include "measure.h"
#include <poll.h>

enum { BATCH = 64, REPLY_BYTES = 4096, MOST_SOCKETS = 64, MOST_CLIENTS = 1 << 16 };
static const uint64_t LOST_AFTER_NANOSECONDS = 1000000000;

struct client {
    size_t step;
    uint64_t number;     // of the attempt
    uint64_t began_at;   // when its first query was sent
    uint64_t sent_at;    // 0 if it pauses
    uint64_t wakes_at;   // when it goes on if it pauses, or gives up
    struct client *next; // in the queue of those that pause: all pause equally long, so the first one wakes first
};

static struct query *queries;
static size_t query_count;
static struct client *clients, *first_asleep, *last_asleep;
static int client_count, socket_count, sockets[MOST_SOCKETS];
static uint64_t next_number;
static long received, lost, attempts, answered, rcodes[16], last_rcodes[16];
static struct latencies last_latencies, attempt_latencies;

static void sleep_until(struct client *client, uint64_t when) {
    client->sent_at = 0;
    client->wakes_at = when;
    client->next = NULL;
    if (last_asleep) last_asleep->next = client;
    else first_asleep = client;
    last_asleep = client;
}

static void begin(struct client *client, uint64_t when) {
    client->step = 0;
    client->number = next_number++;
    sleep_until(client, when);
}

static void ask(struct client *client, uint64_t now) {
    unsigned char copy[QUERY_BYTES];
    long place = client - clients;
    const struct query *query = &queries[client->step];
    write_query(copy, query, (uint16_t)place, client->number);
    send(sockets[place % socket_count], copy, query->length, 0);
    client->sent_at = now;
    client->wakes_at = now + LOST_AFTER_NANOSECONDS;
    if (!client->step) client->began_at = now;
}

// True if the reply has the question that the client asks now: one to a query that was given up may still come.
static int is_for(const struct client *client, const unsigned char *reply, size_t length) {
    unsigned char copy[QUERY_BYTES];
    const struct query *query = &queries[client->step];
    if (!client->sent_at || length < (size_t)query->question_end) return 0;
    write_query(copy, query, 0, client->number);
    return !memcmp(copy + HEADER_BYTES, reply + HEADER_BYTES, (size_t)query->question_end - HEADER_BYTES);
}

static void take_reply(const unsigned char *reply, size_t length, uint64_t now, uint64_t pause) {
    if (length < HEADER_BYTES) return;
    int place = reply[0] << 8 | reply[1];
    if (place >= client_count) return;
    struct client *client = &clients[place];
    if (!is_for(client, reply, length)) return;
    received++;
    if (client->step + 1 < query_count) {
        rcodes[reply[3] & 15]++;
        client->step++;
        sleep_until(client, now + pause);
        return;
    }
    last_rcodes[reply[3] & 15]++;
    answered += reply[6] || reply[7];
    add_latency(&last_latencies, now - client->sent_at);
    add_latency(&attempt_latencies, now - client->began_at);
    attempts++;
    begin(client, now + pause);
}

static int receive(int fd, uint64_t pause) {
    static unsigned char replies[BATCH][REPLY_BYTES];
    static struct iovec parts[BATCH];
    static struct mmsghdr messages[BATCH];
    for (int i = 0; i < BATCH; i++) {
        parts[i] = (struct iovec){.iov_base = replies[i], .iov_len = REPLY_BYTES};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
    }
    int count = recvmmsg(fd, messages, BATCH, 0, NULL);
    uint64_t now = now_nanoseconds();
    for (int i = 0; i < count; i++) take_reply(replies[i], messages[i].msg_len, now, pause);
    return count > 0;
}

static void wake(uint64_t now) {
    while (first_asleep && first_asleep->wakes_at <= now) {
        struct client *client = first_asleep;
        first_asleep = client->next;
        if (!first_asleep) last_asleep = NULL;
        ask(client, now);
    }
}

static void give_up_overdue(uint64_t now, uint64_t pause) {
    for (int i = 0; i < client_count; i++) {
        if (!clients[i].sent_at || clients[i].wakes_at > now) continue;
        lost++;
        begin(&clients[i], now + pause);
    }
}

static void run(double seconds, uint64_t pause) {
    struct pollfd readable[MOST_SOCKETS];
    for (int i = 0; i < socket_count; i++) readable[i] = (struct pollfd){.fd = sockets[i], .events = POLLIN};
    uint64_t now = now_nanoseconds(), end = now + (uint64_t)(seconds * 1e9), look_at = now + LOST_AFTER_NANOSECONDS / 10;
    // They don't begin all at the same moment, but their order is that of their beginnings.
    for (int i = 0; i < client_count; i++) begin(&clients[i], now + pause * (uint64_t)i / (uint64_t)client_count);
    while (now < end || (!attempts && now < end + PATIENCE_NANOSECONDS)) {
        wake(now);
        for (int i = 0; i < socket_count; i++)
            while (receive(sockets[i], pause)) continue;
        now = now_nanoseconds();
        if (now > look_at) {
            give_up_overdue(now, pause);
            look_at = now + LOST_AFTER_NANOSECONDS / 10;
        }
        uint64_t next = first_asleep ? first_asleep->wakes_at : look_at;
        struct timespec rest = timespec_of(next > now ? next - now : 0);
        ppoll(readable, (nfds_t)socket_count, &rest, NULL);
        now = now_nanoseconds();
    }
}

int main(int argc, char **argv) {
    if (argc != 7) {
        fprintf(stderr, "usage: search PORT SECONDS CLIENTS PAUSE SOCKETS FIRST < QUERIES\n");
        return 2;
    }
    client_count = atoi(argv[3]);
    socket_count = atoi(argv[5]);
    if (client_count < 1 || client_count > MOST_CLIENTS) client_count = 1;
    if (socket_count < 1 || socket_count > MOST_SOCKETS) socket_count = 1;
    next_number = strtoull(argv[6], NULL, 10);
    queries = read_queries("search", stdin, &query_count);
    for (size_t i = 0; i < query_count; i++)
        if (!queries[i].question_end) {
            fprintf(stderr, "search: query %zu has no question\n", i + 1);
            return 2;
        }
    clients = calloc((size_t)client_count, sizeof *clients);
    if (!clients) abort();
    for (int i = 0; i < socket_count; i++) sockets[i] = connected_socket("search", atoi(argv[1]));
    sleep_exactly();
    uint64_t start = now_nanoseconds();
    run(atof(argv[2]), strtoull(argv[4], NULL, 10) * 1000);
    double elapsed = (double)(now_nanoseconds() - start) / 1e9;
    printf("{\"seconds\": %.6f, \"received\": %ld, \"answered\": %ld, \"lost\": %ld, \"attempts\": %ld, ", elapsed, received,
           answered, lost, attempts);
    printf("\"p50_us\": %d, \"p99_us\": %d, ", latency_at(&last_latencies, 0.50), latency_at(&last_latencies, 0.99));
    printf("\"attempt_p50_us\": %d, \"attempt_p99_us\": %d, \"miss_rcodes\": ", latency_at(&attempt_latencies, 0.50),
           latency_at(&attempt_latencies, 0.99));
    print_rcodes(rcodes);
    printf(", \"rcodes\": ");
    print_rcodes(last_rcodes);
    printf("}\n");
    return 0;
}
