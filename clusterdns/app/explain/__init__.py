# SPDX-License-Identifier: Apache-2.0
"""``clusterdns explain``: one name, asked as a client would, with all that is known about how its answer came to be."""
