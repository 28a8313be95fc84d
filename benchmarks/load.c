// SPDX-License-Identifier: Apache-2.0
//
// load PORT SECONDS WINDOW SOCKETS RATE FIRST < QUERIES: asks 127.0.0.1, and prints what came back as JSON.
//
// QUERIES are DNS messages, each behind its length in two bytes, high byte first (the framing of DNS over TCP, RFC 1035
// section 4.2.2). They are sent in random order with IDs of our own, over SOCKETS source ports. Eight zeroes in a name
// are replaced by a number that counts up from FIRST, so that no name is asked for twice.
//
// With RATE 0 the load is a closed loop: at most WINDOW queries are on their way at a time, so that a slow server is
// asked less often instead of losing queries. Otherwise RATE queries are sent in a second, whatever comes back, and a
// latency counts from the moment at which the query was due, also where it was sent later. A query without an answer for a
// quarter of a second after the last one that came counts as lost.

#define _GNU_SOURCE
#include "measure.h"
#include <poll.h>

enum {
    BATCH = 64,
    SMALLEST_BATCH = 8, // below it a send waits for more room, or system calls would be all that is measured
    REPLY_BYTES = 4096,
    MOST_SOCKETS = 64,
    IDS = 1 << 16,
};
static const uint64_t LOST_AFTER_NANOSECONDS = 250000000;

struct channel {
    int fd;
    long on_their_way;
    uint16_t next_id;
    uint64_t last_progress;
    uint64_t sent_at[IDS]; // by query ID; 0 if no answer is due
};

static struct query *queries;
static size_t query_count;
static struct channel *channels;
static int channel_count;
static uint64_t next_number;
static long sent, received, answered, lost, rcodes[16];
static struct latencies latencies;

static void count_reply(struct channel *channel, const unsigned char *reply, size_t length, uint64_t now) {
    if (length < HEADER_BYTES) return;
    uint64_t *sent_at = &channel->sent_at[reply[0] << 8 | reply[1]];
    if (!*sent_at) return; // given up as lost before
    add_latency(&latencies, now - *sent_at);
    *sent_at = 0;
    rcodes[reply[3] & 15]++;
    answered += reply[6] || reply[7];
    received++;
    channel->on_their_way--;
    channel->last_progress = now;
}

static int receive(struct channel *channel) {
    static unsigned char replies[BATCH][REPLY_BYTES];
    static struct iovec parts[BATCH];
    static struct mmsghdr messages[BATCH];
    for (int i = 0; i < BATCH; i++) {
        parts[i] = (struct iovec){.iov_base = replies[i], .iov_len = REPLY_BYTES};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
    }
    int count = recvmmsg(channel->fd, messages, BATCH, 0, NULL);
    uint64_t now = now_nanoseconds();
    for (int i = 0; i < count; i++) count_reply(channel, replies[i], messages[i].msg_len, now);
    return count > 0;
}

static void give_up_overdue(struct channel *channel, uint64_t now) {
    if (!channel->on_their_way || now < channel->last_progress + LOST_AFTER_NANOSECONDS) return;
    lost += channel->on_their_way;
    channel->on_their_way = 0;
    memset(channel->sent_at, 0, sizeof channel->sent_at);
}

// Sends up to COUNT queries; the first one was due at DUE, each other one STEP nanoseconds after the one before it.
static long send_batch(struct channel *channel, long count, uint64_t due, uint64_t step) {
    static unsigned char copies[BATCH][QUERY_BYTES];
    static struct iovec parts[BATCH];
    static struct mmsghdr messages[BATCH];
    if (count > BATCH) count = BATCH;
    for (long i = 0; i < count; i++) {
        const struct query *query = &queries[next_random() % query_count];
        write_query(copies[i], query, (uint16_t)(channel->next_id + i), next_number + (uint64_t)i);
        parts[i] = (struct iovec){.iov_base = copies[i], .iov_len = query->length};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
    }
    int done = sendmmsg(channel->fd, messages, (unsigned)count, 0);
    if (done <= 0) return 0;
    if (!channel->on_their_way) channel->last_progress = now_nanoseconds();
    for (int i = 0; i < done; i++) {
        uint64_t *sent_at = &channel->sent_at[(uint16_t)(channel->next_id + i)];
        if (*sent_at) lost++; // all IDs are in use: the oldest one isn't waited for any more
        else channel->on_their_way++;
        *sent_at = due + (uint64_t)i * step;
    }
    channel->next_id = (uint16_t)(channel->next_id + done);
    next_number += (uint64_t)done;
    sent += done;
    return done;
}

static void run_closed(double seconds, long window) {
    struct pollfd readable[MOST_SOCKETS];
    for (int i = 0; i < channel_count; i++) readable[i] = (struct pollfd){.fd = channels[i].fd, .events = POLLIN};
    uint64_t now = now_nanoseconds(), end = now + (uint64_t)(seconds * 1e9);
    while (now < end || (!received && now < end + PATIENCE_NANOSECONDS)) {
        int busy = 0;
        for (int i = 0; i < channel_count; i++) {
            busy |= receive(&channels[i]);
            now = now_nanoseconds();
            give_up_overdue(&channels[i], now);
            long room = window - channels[i].on_their_way;
            if (room >= SMALLEST_BATCH || (room > 0 && room >= window)) busy |= send_batch(&channels[i], room, now, 0) > 0;
        }
        if (!busy) poll(readable, (nfds_t)channel_count, 1);
        now = now_nanoseconds();
    }
}

static void run_paced(double seconds, double rate) {
    struct pollfd readable[MOST_SOCKETS];
    for (int i = 0; i < channel_count; i++) readable[i] = (struct pollfd){.fd = channels[i].fd, .events = POLLIN};
    uint64_t start = now_nanoseconds(), now = start, end = start + (uint64_t)(seconds * 1e9);
    uint64_t step = (uint64_t)(1e9 / rate);
    int turn = 0;
    for (int stopped = 0; !stopped || now < end + LOST_AFTER_NANOSECONDS;) {
        stopped = now >= end;
        uint64_t due = start + (uint64_t)sent * step;
        if (!stopped && due <= now) {
            send_batch(&channels[turn], (long)((now - due) / step) + 1, due, step);
            turn = (turn + 1) % channel_count;
        }
        long waiting = 0;
        for (int i = 0; i < channel_count; i++) {
            while (receive(&channels[i])) continue;
            waiting += channels[i].on_their_way;
        }
        if (stopped && !waiting) return;
        now = now_nanoseconds();
        due = stopped ? now + 1000000 : start + (uint64_t)sent * step;
        struct timespec rest = timespec_of(due > now ? due - now : 0);
        ppoll(readable, (nfds_t)channel_count, &rest, NULL);
        now = now_nanoseconds();
    }
    for (int i = 0; i < channel_count; i++) lost += channels[i].on_their_way;
}

int main(int argc, char **argv) {
    if (argc != 7) {
        fprintf(stderr, "usage: load PORT SECONDS WINDOW SOCKETS RATE FIRST < QUERIES\n");
        return 2;
    }
    double seconds = atof(argv[2]), rate = atof(argv[5]);
    channel_count = atoi(argv[4]);
    if (channel_count < 1 || channel_count > MOST_SOCKETS) channel_count = 1;
    long window = atol(argv[3]) / channel_count;
    next_number = strtoull(argv[6], NULL, 10);
    queries = read_queries("load", stdin, &query_count);
    channels = calloc((size_t)channel_count, sizeof *channels);
    if (!channels) abort();
    for (int i = 0; i < channel_count; i++) channels[i].fd = connected_socket("load", atoi(argv[1]));
    sleep_exactly();
    uint64_t start = now_nanoseconds();
    if (rate > 0) run_paced(seconds, rate);
    else run_closed(seconds, window > 0 ? window : 1);
    double elapsed = (double)(now_nanoseconds() - start) / 1e9;
    printf("{\"seconds\": %.6f, \"sent\": %ld, \"received\": %ld, \"answered\": %ld, \"lost\": %ld, ", elapsed, sent,
           received, answered, lost);
    printf("\"p50_us\": %d, \"p99_us\": %d, \"rcodes\": ", latency_at(&latencies, 0.50), latency_at(&latencies, 0.99));
    print_rcodes(rcodes);
    printf("}\n");
    return 0;
}
