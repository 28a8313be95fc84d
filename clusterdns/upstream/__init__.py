# SPDX-License-Identifier: Apache-2.0
"""Asking other DNS servers: which one, over what, how long, and what to believe of the reply."""
