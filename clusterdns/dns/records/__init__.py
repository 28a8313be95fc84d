# SPDX-License-Identifier: Apache-2.0
"""The data of resource records between text and wire bytes, one line a type in ``table``."""
