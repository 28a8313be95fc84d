# SPDX-License-Identifier: Apache-2.0
import pytest

from clusterdns.cluster.apiserver.access import Pem, server_url
from clusterdns.cluster.apiserver.credentials import load_credentials
from clusterdns.cluster.apiserver.options import ApiServerOptions, TlsFiles
from clusterdns.errors import ApiError

IN_CLUSTER = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}


@pytest.fixture
def account(tmp_path):
    (tmp_path / "token").write_text("secret\n")
    (tmp_path / "ca.crt").write_text("PEM")
    return str(tmp_path)


def load(account="/nonexistent", environ=(), **options):
    return load_credentials(ApiServerOptions(**options), environ=dict(environ), account_folder=account)


def test_in_a_cluster_the_service_account_is_used(account):
    found = load(account, IN_CLUSTER)
    assert found.server == "https://10.96.0.1:443"
    assert found.origin == "the service account"
    assert found.authority == Pem(f"{account}/ca.crt")
    assert (found.token, found.token_file) == ("", f"{account}/token")


def test_ipv6_addresses_of_the_cluster_get_brackets(account):
    assert load(account, {**IN_CLUSTER, "KUBERNETES_SERVICE_HOST": "fd00::1"}).server == "https://[fd00::1]:443"


def test_without_a_ca_of_its_own_the_system_is_trusted(account, tmp_path):
    (tmp_path / "ca.crt").unlink()
    assert not load(account, IN_CLUSTER).authority


@pytest.mark.parametrize("missing", IN_CLUSTER)
def test_outside_of_a_cluster_the_error_is_that_of_coredns(account, missing):
    environ = {name: value for name, value in IN_CLUSTER.items() if name != missing}
    with pytest.raises(ApiError) as caught:
        load(account, environ)
    assert caught.value.reason == (
        "unable to load in-cluster configuration, KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT must be defined"
    )
    assert "kubeconfig" in caught.value.hint


def test_a_pod_without_a_token_is_told_so():
    with pytest.raises(ApiError, match=r"open /nonexistent/token: no such file or directory: .*automount"):
        load(environ=IN_CLUSTER)


def test_an_endpoint_counts_before_the_cluster(account):
    found = load(account, IN_CLUSTER, endpoint="http://127.0.0.1:8080/")
    assert (found.server, found.token_file, found.authority) == ("http://127.0.0.1:8080", "", Pem())


def test_an_endpoint_can_have_tls():
    found = load(endpoint="192.0.2.1:6443", tls=TlsFiles("cert.pem", "key.pem", "ca.pem"))
    assert found.server == "https://192.0.2.1:6443"
    assert (found.certificate, found.key, found.authority) == (Pem("cert.pem"), Pem("key.pem"), Pem("ca.pem"))


def test_a_kubeconfig_counts_before_an_endpoint(tmp_path):
    path = tmp_path / "config"
    path.write_text(
        '{"clusters": [{"name": "c", "cluster": {"server": "https://192.0.2.7"}}],'
        ' "contexts": [{"name": "x", "context": {"cluster": "c"}}], "current-context": "x"}'
    )
    assert load(endpoint="http://127.0.0.1:8080", kubeconfig=str(path)).server == "https://192.0.2.7"


@pytest.mark.parametrize(
    ("text", "secure", "expected"),
    [
        ("10.0.0.1:6443", True, "https://10.0.0.1:6443"),
        ("10.0.0.1:8080", False, "http://10.0.0.1:8080"),
        ("HTTPS://api.example/k8s/clusters/c-1/", False, "https://api.example/k8s/clusters/c-1"),
    ],
)
def test_servers_are_urls(text, secure, expected):
    assert server_url(text, secure=secure) == expected


@pytest.mark.parametrize("text", ["ftp://10.0.0.1", "https://", "https:///", "unix:///run/api.sock"])
def test_other_servers_are_refused(text):
    with pytest.raises(ApiError, match="is not the URL of an API server"):
        server_url(text, secure=True)
