# SPDX-License-Identifier: Apache-2.0
"""Sockets: bytes in, bytes out, no DNS decisions."""
