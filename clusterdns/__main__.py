# SPDX-License-Identifier: Apache-2.0
"""``python -m clusterdns``."""

import sys

from clusterdns.cli.main import main

sys.exit(main())
