// SPDX-License-Identifier: Apache-2.0
//
// upstream PORT DELAY TTL: a name server on UDP port PORT of 127.0.0.1 that knows every name, and answers DELAY
// microseconds after it was asked. A and AAAA queries get one address each, others an empty answer with a SOA record. It
// serves some 300,000 queries a second, so that it is not what is measured.

#define _GNU_SOURCE
#include "measure.h"
#include <poll.h>

enum { BATCH = 64, WAITING = 1 << 16, ADDRESS_BYTES = 28, SOA_BYTES = 12 + 2 + 2 + 20 };

struct reply {
    uint64_t due;
    struct sockaddr_in peer;
    unsigned length;
    unsigned char bytes[QUERY_BYTES + SOA_BYTES];
};

static struct reply replies[WAITING]; // a ring: all wait equally long, so the first one in is the first one out
static unsigned first_waiting, end_waiting;

static unsigned char *put(unsigned char *to, const void *bytes, size_t length) {
    memcpy(to, bytes, length);
    return to + length;
}

// Where the question ends, 0 if the message is none that can be answered.
static unsigned question_end(const unsigned char *message, unsigned length) {
    if (length < HEADER_BYTES + 5 || message[2] & 0x80 || message[4] || message[5] != 1) return 0;
    unsigned at = HEADER_BYTES;
    while (at < length && message[at]) at += 1u + message[at];
    return at + 5 <= length ? at + 5 : 0;
}

static unsigned write_reply(unsigned char *message, unsigned length, uint32_t ttl) {
    static const unsigned char v4[] = {0, 4, 192, 0, 2, 1}, v6[] = {0, 16, 0x20, 1, 0xd, 0xb8, [17] = 1};
    static const unsigned char soa[] = {0, 24, 0xc0, 12, 0xc0, 12, 0, 0, 0, 1, 0, 0, 28, 32, 0, 0, 7, 8, 0, 1, 81, 128};
    unsigned end = question_end(message, length);
    if (!end) return 0;
    unsigned type = (unsigned)message[end - 4] << 8 | message[end - 3];
    int address = type == 1 || type == 28;
    uint32_t seconds = htonl(ttl);
    unsigned char *at = message + end;
    message[2] = (unsigned char)(0x84 | (message[2] & 1)); // QR, AA; RD as it was
    message[3] = 0x80;                                     // RA, NOERROR
    memset(message + 6, 0, 6);
    message[address ? 7 : 9] = 1;
    at = put(at, "\xc0\x0c", 2);
    *at++ = 0;
    *at++ = (unsigned char)(address ? type : 6);
    at = put(at, "\0\1", 2);
    at = put(at, &seconds, 4);
    if (type == 1) at = put(at, v4, sizeof v4);
    else if (type == 28) at = put(at, v6, 18);
    else at = put(put(at, soa, sizeof soa), &seconds, 4); // MINIMUM, the last field
    return (unsigned)(at - message);
}

static int receive_batch(int fd, uint64_t delay, uint32_t ttl) {
    static struct iovec parts[BATCH];
    static struct mmsghdr messages[BATCH];
    unsigned room = WAITING - (end_waiting - first_waiting);
    unsigned most = room < BATCH ? room : BATCH;
    for (unsigned i = 0; i < most; i++) {
        struct reply *reply = &replies[(end_waiting + i) % WAITING];
        parts[i] = (struct iovec){.iov_base = reply->bytes, .iov_len = QUERY_BYTES};
        messages[i].msg_hdr = (struct msghdr){
            .msg_name = &reply->peer, .msg_namelen = sizeof reply->peer, .msg_iov = &parts[i], .msg_iovlen = 1};
    }
    int count = recvmmsg(fd, messages, most, MSG_DONTWAIT, NULL);
    uint64_t due = now_nanoseconds() + delay;
    for (int i = 0; i < count; i++) {
        struct reply *reply = &replies[(end_waiting + (unsigned)i) % WAITING];
        reply->length = write_reply(reply->bytes, messages[i].msg_len, ttl);
        reply->due = due;
    }
    if (count > 0) end_waiting += (unsigned)count;
    return count > 0;
}

static void send_due(int fd) {
    static struct iovec parts[BATCH];
    static struct mmsghdr messages[BATCH];
    uint64_t now = now_nanoseconds();
    while (first_waiting != end_waiting) {
        unsigned count = 0, passed = 0;
        for (; count < BATCH && first_waiting + passed != end_waiting; passed++) {
            struct reply *reply = &replies[(first_waiting + passed) % WAITING];
            if (reply->due > now) break;
            if (!reply->length) continue;
            parts[count] = (struct iovec){.iov_base = reply->bytes, .iov_len = reply->length};
            messages[count].msg_hdr = (struct msghdr){.msg_name = &reply->peer,
                                                      .msg_namelen = sizeof reply->peer,
                                                      .msg_iov = &parts[count],
                                                      .msg_iovlen = 1};
            count++;
        }
        if (!passed) return;
        for (unsigned sent = 0; sent < count;) {
            int done = sendmmsg(fd, messages + sent, count - sent, 0);
            if (done <= 0) break; // who asked sees the rest as lost
            sent += (unsigned)done;
        }
        first_waiting += passed;
    }
}

int main(int argc, char **argv) {
    if (argc != 4) {
        fprintf(stderr, "usage: upstream PORT DELAY TTL\n");
        return 2;
    }
    uint64_t delay = strtoull(argv[2], NULL, 10) * 1000;
    uint32_t ttl = (uint32_t)strtoul(argv[3], NULL, 10);
    int fd = bound_socket("upstream", atoi(argv[1]), SOCK_NONBLOCK);
    struct pollfd readable = {.fd = fd, .events = POLLIN};
    sleep_exactly();
    for (;;) {
        while (receive_batch(fd, delay, ttl)) send_due(fd);
        send_due(fd);
        uint64_t now = now_nanoseconds();
        if (first_waiting == end_waiting) {
            poll(&readable, 1, -1);
        } else {
            uint64_t due = replies[first_waiting % WAITING].due;
            struct timespec rest = timespec_of(due > now ? due - now : 0);
            ppoll(&readable, 1, &rest, NULL);
        }
    }
}
