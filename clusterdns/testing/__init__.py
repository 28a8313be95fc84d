# SPDX-License-Identifier: Apache-2.0
"""Stand-ins for the servers around a cluster DNS, for tests: ours, and those of whoever builds on clusterdns."""
