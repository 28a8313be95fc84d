// SPDX-License-Identifier: Apache-2.0
//
// load PORT SECONDS WINDOW SOCKETS < QUERIES: asks 127.0.0.1 as fast as it answers, and prints what came back as JSON.
//
// QUERIES are DNS messages, each behind its length in two bytes, high byte first (the framing of DNS over TCP, RFC 1035
// section 4.2.2). They are sent in random order with IDs of our own. At most WINDOW queries are on their way at a time,
// spread over SOCKETS source ports: a closed loop, so that a slow server is asked less often instead of losing queries.
// A query without an answer for a quarter of a second counts as lost.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum {
    BATCH = 64,
    SMALLEST_BATCH = 8, // below it a send waits for more room, or system calls would be all that is measured
    QUERY_BYTES = 512,
    REPLY_BYTES = 4096,
    MOST_SOCKETS = 64,
    IDS = 1 << 16,
    SLOWEST_MICROSECONDS = 1000000,
    SOCKET_BUFFER_BYTES = 4 << 20,
};
static const uint64_t LOST_AFTER_NANOSECONDS = 250000000;

struct query {
    uint16_t length;
    unsigned char bytes[QUERY_BYTES];
};

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
static long sent, received, answered, lost, rcodes[16];
static long latency_counts[SLOWEST_MICROSECONDS + 1]; // by microseconds, the slower ones in the last

static uint64_t now_nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint32_t next_random(void) {
    static uint32_t state = 2463534242u; // xorshift32 (Marsaglia 2003): the same sequence in every run
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state;
}

static void read_queries(FILE *input) {
    size_t room = 0;
    int high, low;
    while ((high = getc(input)) != EOF && (low = getc(input)) != EOF) {
        if (query_count == room) {
            room = room ? room * 2 : 1024;
            queries = realloc(queries, room * sizeof *queries);
            if (!queries) abort();
        }
        struct query *query = &queries[query_count++];
        query->length = (uint16_t)(high << 8 | low);
        if (query->length < 12 || query->length > QUERY_BYTES ||
            fread(query->bytes, 1, query->length, input) != query->length) {
            fprintf(stderr, "load: query %zu is cut off, or not 12 to %d bytes long\n", query_count, QUERY_BYTES);
            exit(2);
        }
    }
    if (!query_count) {
        fprintf(stderr, "load: no queries on standard input\n");
        exit(2);
    }
}

static void open_channels(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    channels = calloc((size_t)channel_count, sizeof *channels);
    if (!channels) abort();
    for (int i = 0; i < channel_count; i++) {
        int buffer_bytes = SOCKET_BUFFER_BYTES;
        channels[i].fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
        setsockopt(channels[i].fd, SOL_SOCKET, SO_RCVBUF, &buffer_bytes, sizeof buffer_bytes);
        if (channels[i].fd < 0 || connect(channels[i].fd, (struct sockaddr *)&address, sizeof address) != 0) {
            perror("load");
            exit(1);
        }
    }
}

static void count_reply(struct channel *channel, const unsigned char *reply, size_t length, uint64_t now) {
    if (length < 12) return;
    uint64_t *sent_at = &channel->sent_at[reply[0] << 8 | reply[1]];
    if (!*sent_at) return; // given up as lost before
    uint64_t microseconds = (now - *sent_at) / 1000;
    *sent_at = 0;
    latency_counts[microseconds < SLOWEST_MICROSECONDS ? microseconds : SLOWEST_MICROSECONDS]++;
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
    if (!channel->on_their_way || now - channel->last_progress < LOST_AFTER_NANOSECONDS) return;
    lost += channel->on_their_way;
    channel->on_their_way = 0;
    memset(channel->sent_at, 0, sizeof channel->sent_at);
}

static int send_more(struct channel *channel, long window, uint64_t now) {
    static unsigned char copies[BATCH][QUERY_BYTES];
    static struct iovec parts[BATCH];
    static struct mmsghdr messages[BATCH];
    long room = window - channel->on_their_way;
    if (room > BATCH) room = BATCH;
    if (room <= 0 || (room < SMALLEST_BATCH && room < window)) return 0;
    for (long i = 0; i < room; i++) {
        const struct query *query = &queries[next_random() % query_count];
        uint16_t id = (uint16_t)(channel->next_id + i);
        memcpy(copies[i], query->bytes, query->length);
        copies[i][0] = (unsigned char)(id >> 8);
        copies[i][1] = (unsigned char)id;
        parts[i] = (struct iovec){.iov_base = copies[i], .iov_len = query->length};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
    }
    int count = sendmmsg(channel->fd, messages, (unsigned)room, 0);
    if (count <= 0) return 0;
    for (int i = 0; i < count; i++) channel->sent_at[(uint16_t)(channel->next_id + i)] = now;
    if (!channel->on_their_way) channel->last_progress = now;
    channel->next_id = (uint16_t)(channel->next_id + count);
    channel->on_their_way += count;
    sent += count;
    return 1;
}

static void run(double seconds, long window) {
    struct pollfd readable[MOST_SOCKETS];
    for (int i = 0; i < channel_count; i++) readable[i] = (struct pollfd){.fd = channels[i].fd, .events = POLLIN};
    uint64_t now = now_nanoseconds(), end = now + (uint64_t)(seconds * 1e9);
    while (now < end) {
        int busy = 0;
        for (int i = 0; i < channel_count; i++) {
            busy |= receive(&channels[i]);
            now = now_nanoseconds();
            give_up_overdue(&channels[i], now);
            busy |= send_more(&channels[i], window, now);
        }
        if (!busy) poll(readable, (nfds_t)channel_count, 1);
        now = now_nanoseconds();
    }
}

static int latency_at(double share) {
    long below = 0, target = (long)((double)received * share);
    for (int i = 0; i <= SLOWEST_MICROSECONDS; i++) {
        below += latency_counts[i];
        if (below > target) return i;
    }
    return 0;
}

int main(int argc, char **argv) {
    if (argc != 5) {
        fprintf(stderr, "usage: load PORT SECONDS WINDOW SOCKETS < QUERIES\n");
        return 2;
    }
    double seconds = atof(argv[2]);
    channel_count = atoi(argv[4]);
    if (channel_count < 1 || channel_count > MOST_SOCKETS) channel_count = 1;
    long window = atol(argv[3]) / channel_count;
    read_queries(stdin);
    open_channels(atoi(argv[1]));
    uint64_t start = now_nanoseconds();
    run(seconds, window > 0 ? window : 1);
    double elapsed = (double)(now_nanoseconds() - start) / 1e9;
    printf("{\"seconds\": %.6f, \"sent\": %ld, \"received\": %ld, \"answered\": %ld, \"lost\": %ld, ", elapsed, sent,
           received, answered, lost);
    printf("\"p50_us\": %d, \"p99_us\": %d, \"rcodes\": {", latency_at(0.50), latency_at(0.99));
    const char *separator = "";
    for (int i = 0; i < 16; i++) {
        if (!rcodes[i]) continue;
        printf("%s\"%d\": %ld", separator, i, rcodes[i]);
        separator = ", ";
    }
    printf("}}\n");
    return 0;
}
