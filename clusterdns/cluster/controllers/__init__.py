# SPDX-License-Identifier: Apache-2.0
"""What a control plane does to the objects that are written: endpoints from Pods, given addresses and ports."""
