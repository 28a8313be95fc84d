# SPDX-License-Identifier: Apache-2.0
"""The small languages inside Corefile arguments: regular expressions, templates, expressions, durations."""
