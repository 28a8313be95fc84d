// SPDX-License-Identifier: Apache-2.0
//
// echo PORT: sends every datagram on 127.0.0.1 back, marked as a response. A server that reads and writes in batches can
// get near this and never past it, so its figures are the yardstick for all others in the same run.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { BATCH = 64, DATAGRAM_BYTES = 2048, SOCKET_BUFFER_BYTES = 4 << 20 };

static unsigned char datagrams[BATCH][DATAGRAM_BYTES];
static struct sockaddr_in peers[BATCH];
static struct iovec parts[BATCH];
static struct mmsghdr messages[BATCH];

static int open_socket(int port) {
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    int buffer_bytes = SOCKET_BUFFER_BYTES;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer_bytes, sizeof buffer_bytes);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        perror("echo");
        exit(1);
    }
    return fd;
}

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
    int fd = open_socket(atoi(argv[1]));
    for (;;) {
        int count = receive_batch(fd);
        if (count > 0) send_batch(fd, count);
    }
}
