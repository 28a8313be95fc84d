# SPDX-License-Identifier: Apache-2.0
"""Ports that nobody has."""

import random
import socket


def free_port() -> int:
    """A port of 127.0.0.1 that is free for UDP and TCP alike.

    It is below those that systems give to clients (from 32768 on Linux), which the next socket of any test may get.
    """
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            try:
                tcp.bind(("127.0.0.1", port))
                udp.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
