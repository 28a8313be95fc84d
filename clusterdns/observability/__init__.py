# SPDX-License-Identifier: Apache-2.0
"""What operators see: metrics, logs and their text forms."""
