# SPDX-License-Identifier: Apache-2.0
"""Tidying up behind the process made of fakes."""

import pytest
from support import directives


@pytest.fixture(autouse=True)
def no_work_left_behind():
    yield
    directives.close_spawned()
