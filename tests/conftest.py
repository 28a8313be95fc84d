# SPDX-License-Identifier: Apache-2.0
"""What holds for all tests."""

import os

from hypothesis import HealthCheck, settings

# How long an example takes says more about the machine, and about what else runs on it, than about the code. Whether a
# change may land must not depend on chance: there the examples are always the same, at a desk they are always new ones.
settings.register_profile(
    "clusterdns", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize="CI" in os.environ
)
settings.load_profile("clusterdns")
