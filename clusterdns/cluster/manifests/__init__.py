# SPDX-License-Identifier: Apache-2.0
"""The cluster from a directory of manifests: ``ManifestSource`` in ``source``."""
