# SPDX-License-Identifier: Apache-2.0
"""The DNS protocol, sans-IO: names, types, wire format, EDNS."""
