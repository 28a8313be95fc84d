# SPDX-License-Identifier: Apache-2.0
"""One module for each Corefile directive; its docstring is the manual page."""
