# SPDX-License-Identifier: Apache-2.0
"""Query bytes to answer bytes, without objects in between."""
