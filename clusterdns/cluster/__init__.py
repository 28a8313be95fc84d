# SPDX-License-Identifier: Apache-2.0
"""Kubernetes objects as values, the store that keeps them and the sources that feed it."""
