# SPDX-License-Identifier: Apache-2.0
"""Cluster DNS for Kubernetes."""

from clusterdns._version import __version__

__all__ = ["__version__"]
