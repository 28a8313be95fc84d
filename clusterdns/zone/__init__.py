# SPDX-License-Identifier: Apache-2.0
"""Cluster objects compiled to DNS answers."""
