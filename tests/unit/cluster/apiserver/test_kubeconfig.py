# SPDX-License-Identifier: Apache-2.0
import base64

import pytest

from clusterdns.cluster.apiserver.access import CredentialProgram, Pem
from clusterdns.cluster.apiserver.kubeconfig import read_kubeconfig
from clusterdns.errors import ApiError

PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
PEM_DATA = base64.b64encode(PEM.encode()).decode()

CONFIG = """\
apiVersion: v1
kind: Config
preferences: {}
current-context: main
clusters:
- name: inside
  cluster:
    server: https://192.0.2.1:6443
    certificate-authority: pki/ca.crt
- name: far
  cluster:
    server: https://api.example/k8s/clusters/c-1
    insecure-skip-tls-verify: true
    tls-server-name: kube.example
    proxy-url: http://proxy.example:3128
- name: nowhere
  cluster: {}
contexts:
- {name: main, context: {cluster: inside, user: token, namespace: kube-system}}
- {name: certificate, context: {cluster: inside, user: certificate}}
- {name: files, context: {cluster: far, user: files}}
- {name: exec, context: {cluster: inside, user: exec}}
- {name: provider, context: {cluster: inside, user: provider}}
- {name: basic, context: {cluster: inside, user: basic}}
- {name: somebody, context: {cluster: inside}}
- {name: lost, context: {cluster: inside, user: nobody}}
- {name: empty, context: {cluster: nowhere}}
- {name: half, context: {cluster: inside, user: half}}
- {name: commandless, context: {cluster: inside, user: commandless}}
users:
- name: token
  user: {token: abc, as: admin, as-uid: "7", as-groups: [a, b]}
- name: certificate
  user: {client-certificate-data: DATA, client-key-data: DATA}
- name: files
  user: {tokenFile: /run/token, client-certificate: client.crt, client-key: client.key}
- name: exec
  user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: aws, args: [eks, get-token]}}
- name: provider
  user: {auth-provider: {name: oidc, config: {id-token: x}}}
- name: basic
  user: {username: admin, password: "1234"}
- name: half
  user: {client-certificate: client.crt}
- name: commandless
  user: {exec: {}}
""".replace("DATA", PEM_DATA)


@pytest.fixture
def path(tmp_path):
    (tmp_path / "config").write_text(CONFIG)
    return str(tmp_path / "config")


def test_the_current_context_is_read(path, tmp_path):
    found = read_kubeconfig(path)
    assert found.server == "https://192.0.2.1:6443"
    assert found.origin == f"{path}, context main"
    assert found.authority == Pem(str(tmp_path / "pki" / "ca.crt"))
    assert found.token == "abc"
    assert found.headers == (
        ("Impersonate-User", "admin"),
        ("Impersonate-Uid", "7"),
        ("Impersonate-Group", "a"),
        ("Impersonate-Group", "b"),
    )


def test_certificates_can_be_in_the_file(path):
    found = read_kubeconfig(path, "certificate")
    assert found.certificate == found.key == Pem(data=PEM)


def test_files_are_relative_to_the_kubeconfig(path, tmp_path):
    found = read_kubeconfig(path, "files")
    assert found.token_file == "/run/token"
    assert (found.certificate, found.key) == (Pem(str(tmp_path / "client.crt")), Pem(str(tmp_path / "client.key")))
    assert (found.insecure, found.server_name, found.proxy) == (True, "kube.example", "http://proxy.example:3128")
    assert found.server == "https://api.example/k8s/clusters/c-1"


def test_programs_that_make_credentials_are_named(path):
    assert read_kubeconfig(path, "exec").program == CredentialProgram(path, "exec", "exec aws")
    assert read_kubeconfig(path, "provider").program == CredentialProgram(path, "provider", "auth-provider oidc")
    assert read_kubeconfig(path, "main").program is None


def test_passwords_and_nobody_at_all(path):
    found = read_kubeconfig(path, "basic")
    assert (found.username, found.password) == ("admin", "1234")
    assert read_kubeconfig(path, "somebody").token == ""


@pytest.mark.parametrize(
    ("context", "message"),
    [
        ("other", 'context "other" does not exist: there are: main, certificate, files, exec'),
        ("lost", 'user "nobody" does not exist: there are: token, certificate'),
        ("empty", "cluster 'nowhere' has no server"),
        ("half", "client-certificate and client-key must be given together"),
        ("commandless", "exec has no command"),
    ],
)
def test_contexts_that_lead_nowhere_are_refused(path, context, message):
    with pytest.raises(ApiError) as caught:
        read_kubeconfig(path, context)
    assert str(caught.value).startswith(f"{path}: {message}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", ": is no kubeconfig"),
        ("- a\n", ": is no kubeconfig"),
        ("a: 1\n---\na: 2\n", ": is no kubeconfig"),
        ("clusters: [}\n", ":1: "),
        ("current-context: 5\n", ": Expected `str | null`, got `int` - at `$.current-context`"),
        ("clusters: []\n", ": current-context is not set"),
        ("current-context: a\n", ': context "a" does not exist'),
        (
            CONFIG.replace(PEM_DATA, "'!!!'").replace("current-context: main", "current-context: certificate"),
            ": client-",
        ),
        (
            CONFIG.replace(PEM_DATA, "AAAA").replace("current-context: main", "current-context: certificate"),
            ": client-",
        ),
        (
            CONFIG.replace("http://proxy", "socks5://proxy").replace("current-context: main", "current-context: files"),
            "",
        ),
    ],
)
def test_files_that_are_wrong_are_told_with_their_path(tmp_path, text, message):
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(ApiError) as caught:
        read_kubeconfig(str(path))
    assert str(caught.value).startswith(f"{path}{message}")


def test_a_file_that_is_not_there_has_the_words_of_coredns():
    with pytest.raises(ApiError) as caught:
        read_kubeconfig("/nonexistent/config")
    assert str(caught.value) == "stat /nonexistent/config: no such file or directory"
