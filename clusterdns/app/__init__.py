# SPDX-License-Identifier: Apache-2.0
"""The composition root: assembles a plan into a running server."""
