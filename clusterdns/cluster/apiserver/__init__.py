# SPDX-License-Identifier: Apache-2.0
"""The API server as a source: credentials, the connection, and what drives the reflectors over it."""
