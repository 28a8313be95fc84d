# SPDX-License-Identifier: Apache-2.0
"""Ports that nobody has."""

import socket


def free_port() -> int:
    """A port of 127.0.0.1 that is free for UDP and TCP alike."""
    while True:
        with socket.socket() as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            tcp.bind(("127.0.0.1", 0))
            port: int = tcp.getsockname()[1]
            try:
                udp.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
