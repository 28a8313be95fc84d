# SPDX-License-Identifier: Apache-2.0
"""The sans-IO server: query, chain of plugins, reply."""
