# SPDX-License-Identifier: Apache-2.0
"""What holds for all tests."""

from hypothesis import HealthCheck, settings

# How long an example takes says more about the machine, and about what else runs on it, than about the code.
settings.register_profile("clusterdns", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("clusterdns")
