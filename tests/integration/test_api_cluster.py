# SPDX-License-Identifier: Apache-2.0
"""The same scenarios with the API server of ``clusterdns.testing`` and with a real one.

The real one needs kube-apiserver 1.32 or newer and an etcd, whose paths are in the environment variables KUBE_APISERVER
and ETCD; without them its half is skipped. Both run on loopback, with TLS and RBAC, and the server that is tested has
the service account and the role of deploy/new and nothing else. Every scenario ends with the records of the whole zone,
which must be those of a process that has just started.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support import api_cluster as scenarios
from support.api_process import ApiProcess
from support.kube_apiserver import KubeCluster, OurCluster, api_cluster

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(params=["ours", "kube-apiserver"])
def api(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OurCluster | KubeCluster]:
    with api_cluster(request.param, tmp_path) as found:
        for each in scenarios.cluster():
            found.writer.apply(each)
        yield found


@pytest.fixture
def fresh(api: OurCluster | KubeCluster, tmp_path: Path) -> ApiProcess:
    """One like it, not started yet."""
    return ApiProcess(tmp_path, *api.options)


@pytest.fixture
def dns(api: OurCluster | KubeCluster, tmp_path: Path) -> Iterator[ApiProcess]:
    """A process that has read everything."""
    with ApiProcess(tmp_path, *api.options) as found:
        found.until_ready()
        yield found
        assert "Traceback" not in found.output()


def test_every_kind_of_service(api: OurCluster | KubeCluster, dns: ApiProcess, fresh: ApiProcess) -> None:
    scenarios.every_kind_of_service(api, dns)
    assert scenarios.as_after_a_fresh_start(dns, fresh)


def test_namespaces_come_and_go(api: OurCluster | KubeCluster, dns: ApiProcess, fresh: ApiProcess) -> None:
    scenarios.namespaces_come_and_go(api, dns)
    assert scenarios.as_after_a_fresh_start(dns, fresh)


def test_many_services_in_and_out(api: OurCluster | KubeCluster, dns: ApiProcess, fresh: ApiProcess) -> None:
    scenarios.many_services_in_and_out(api, dns, 5000 if isinstance(api, KubeCluster) else 500)
    assert scenarios.as_after_a_fresh_start(dns, fresh)


def test_the_api_server_is_killed_and_started_again(
    api: OurCluster | KubeCluster, dns: ApiProcess, fresh: ApiProcess
) -> None:
    scenarios.the_api_server_is_killed(api, dns)
    assert scenarios.as_after_a_fresh_start(dns, fresh)


def test_the_storage_is_away(api: OurCluster | KubeCluster, dns: ApiProcess, fresh: ApiProcess) -> None:
    scenarios.the_storage_is_away(api, dns, 10.0 if isinstance(api, KubeCluster) else 2.0)
    assert scenarios.as_after_a_fresh_start(dns, fresh)


def test_the_storage_is_compacted_while_the_process_is_stopped(
    api: OurCluster | KubeCluster, dns: ApiProcess, fresh: ApiProcess
) -> None:
    scenarios.compaction_while_stopped(api, dns)
    assert scenarios.as_after_a_fresh_start(dns, fresh)


def test_the_token_rotates(api: OurCluster | KubeCluster, dns: ApiProcess, fresh: ApiProcess) -> None:
    scenarios.the_token_rotates(api, dns)
    assert scenarios.as_after_a_fresh_start(dns, fresh)
