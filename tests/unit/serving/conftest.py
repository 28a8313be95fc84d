# SPDX-License-Identifier: Apache-2.0
"""An engine to test the server with, without sockets."""

import functools

import pytest
from support import serving


@pytest.fixture
def faults():
    return serving.Faults()


@pytest.fixture
def make_engine(faults):
    return functools.partial(serving.make_engine, faults=faults)
