// SPDX-License-Identifier: Apache-2.0
//
// echo PORT: sends every datagram on 127.0.0.1 back, marked as a response. A server that reads and writes in batches can
// get near this and never past it, so its figures are the yardstick for all others in the same run.

#define _GNU_SOURCE
#include "measure.h"

enum { BATCH = 64, DATAGRAM_BYTES = 2048 };

static unsigned char datagrams[BATCH][DATAGRAM_BYTES];
static struct sockaddr_in peers[BATCH];
static struct iovec parts[BATCH];
static struct mmsghdr messages[BATCH];

static int receive_batch(int fd) {
    for (int i = 0; i < BATCH; i++) {
        parts[i] = (struct iovec){.iov_base = datagrams[i], .iov_len = DATAGRAM_BYTES};
        messages[i].msg_hdr = (struct msghdr){
            .msg_name = &peers[i], .msg_namelen = sizeof peers[i], .msg_iov = &parts[i], .msg_iovlen = 1};
    }
    return recvmmsg(fd, messages, BATCH, MSG_WAITFORONE, NULL);
}

static void send_batch(int fd, int count) {
    for (int i = 0; i < count; i++) {
        parts[i].iov_len = messages[i].msg_len;
        datagrams[i][2] |= 0x80; // QR, RFC 1035 section 4.1.1
    }
    for (int sent = 0; sent < count;) {
        int now = sendmmsg(fd, messages + sent, (unsigned)(count - sent), 0);
        if (now <= 0) return; // the client sees the rest as lost
        sent += now;
    }
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: echo PORT\n");
        return 2;
    }
    int fd = bound_socket("echo", atoi(argv[1]), 0);
    for (;;) {
        int count = receive_batch(fd);
        if (count > 0) send_batch(fd, count);
    }
}
