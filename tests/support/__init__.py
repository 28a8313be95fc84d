# SPDX-License-Identifier: Apache-2.0
"""Things that several tests use."""
