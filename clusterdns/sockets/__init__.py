# SPDX-License-Identifier: Apache-2.0
"""System calls on sockets that Python's standard library doesn't have."""
