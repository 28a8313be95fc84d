# SPDX-License-Identifier: Apache-2.0
"""Corefile text to a typed plan, without effects."""
