# SPDX-License-Identifier: Apache-2.0
import asyncio
import base64
import os
import shutil
import ssl
from pathlib import Path

import pytest

from clusterdns.cluster.apiserver.access import Credentials, Pem
from clusterdns.cluster.apiserver.signing import REREAD_SECONDS, Signer
from clusterdns.errors import ApiError

TLS = Path(__file__).parents[3] / "data" / "tls" / "api"


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def signer(clock=None, server="http://192.0.2.1", **options):
    return Signer(Credentials(server, "here", **options), clock=clock or Clock())


def sign(one):
    return asyncio.run(one.sign())


def renew(one, signed):
    return one.renew(signed)


def authorization(one):
    return sign(one).headers.get("Authorization")


def test_tokens_passwords_and_impersonation_become_headers():
    assert authorization(signer()) is None
    assert authorization(signer(token="abc")) == "Bearer abc"
    basic = authorization(signer(username="admin", password="1234"))
    assert base64.b64decode(basic.removeprefix("Basic ")) == b"admin:1234"
    assert sign(signer(headers=(("Impersonate-User", "x"),))).headers == {"Impersonate-User": "x"}


def test_a_token_file_is_read_again_after_a_while(tmp_path):
    clock, token = Clock(), tmp_path / "token"
    token.write_text("one\n")
    one = signer(clock, token_file=str(token))
    assert authorization(one) == "Bearer one"
    token.write_text("two\n")
    clock.now += REREAD_SECONDS - 1
    assert authorization(one) == "Bearer one"
    clock.now += 1
    assert authorization(one) == "Bearer two"


def test_after_401_the_file_is_read_at_once(tmp_path):
    token = tmp_path / "token"
    token.write_text("one")
    one = signer(token_file=str(token))
    signed = sign(one)
    assert renew(one, signed) is False
    token.write_text("two")
    assert renew(one, signed) is True
    assert authorization(one) == "Bearer two"


def test_requests_that_are_refused_together_all_have_the_new_token(tmp_path):
    token = tmp_path / "token"
    token.write_text("one")
    one = signer(token_file=str(token))
    several = [sign(one) for _ in range(3)]
    token.write_text("two")
    assert [renew(one, signed) for signed in several] == [True, True, True]
    assert renew(one, sign(one)) is False


def test_a_token_file_that_goes_leaves_the_last_token(tmp_path, caplog):
    clock, token = Clock(), tmp_path / "token"
    token.write_text("one")
    one = signer(clock, token_file=str(token))
    sign(one)
    token.unlink()
    clock.now += REREAD_SECONDS
    assert authorization(one) == "Bearer one"
    token.write_text("")
    clock.now += REREAD_SECONDS
    assert authorization(one) == "Bearer one"
    assert [record.getMessage() for record in caplog.records] == [
        f"open {token}: no such file or directory; going on with what was read before",
        f"{token} is empty; going on with what was read before",
    ]


def test_a_token_file_that_never_was_is_an_error(tmp_path):
    with pytest.raises(ApiError, match="no such file"):
        signer(token_file=str(tmp_path / "token"))


def test_plain_http_needs_no_context():
    assert sign(signer()).tls is None


def test_a_new_authority_makes_a_new_context(tmp_path):
    clock, authority = Clock(), tmp_path / "ca.crt"
    shutil.copy(TLS / "authority.pem", authority)
    one = signer(clock, "https://192.0.2.1", authority=Pem(str(authority)))
    first = sign(one).tls
    clock.now += REREAD_SECONDS
    assert sign(one).tls is first
    shutil.copy(TLS / "stranger.pem", tmp_path / "new")
    os.replace(tmp_path / "new", authority)
    clock.now += REREAD_SECONDS
    second = sign(one).tls
    assert second is not first
    assert [dict(field[0] for field in each["subject"]) for each in second.get_ca_certs()] == [
        {"commonName": "test stranger"}
    ]


def test_an_authority_that_breaks_leaves_the_last_one(tmp_path, caplog):
    clock, authority = Clock(), tmp_path / "ca.crt"
    shutil.copy(TLS / "authority.pem", authority)
    one = signer(clock, "https://192.0.2.1", authority=Pem(str(authority)))
    first = sign(one).tls
    authority.write_text("broken")
    clock.now += REREAD_SECONDS
    assert sign(one).tls is first
    assert "going on with what was read before" in caplog.text
    shutil.copy(TLS / "authority.pem", authority)
    clock.now += REREAD_SECONDS
    assert sign(one).tls is not first


def test_an_authority_that_never_was_is_an_error():
    with pytest.raises(ApiError, match="the certificate authority /nonexistent: no such file or directory"):
        signer(server="https://192.0.2.1", authority=Pem("/nonexistent"))


def test_contexts_trust_whom_they_should():
    def context(**options):
        return sign(signer(server="https://192.0.2.1", **options)).tls

    own = context(authority=Pem(data=(TLS / "authority.pem").read_text()))
    assert (own.verify_mode, own.check_hostname, len(own.get_ca_certs())) == (ssl.CERT_REQUIRED, True, 1)
    insecure = context(insecure=True, authority=Pem("/nonexistent"))
    assert (insecure.verify_mode, insecure.check_hostname) == (ssl.CERT_NONE, False)


@pytest.mark.parametrize("as_data", [False, True])
def test_client_certificates_come_from_files_or_memory(as_data):
    def pem(name):
        return Pem(data=(TLS / name).read_text()) if as_data else Pem(str(TLS / name))

    before = set(os.listdir("/proc/self/fd")) if os.path.exists("/proc/self/fd") else set()
    one = signer(server="https://192.0.2.1", certificate=pem("client.pem"), key=pem("client.key"))
    assert sign(one).tls is not None
    if before:
        assert len(os.listdir("/proc/self/fd")) <= len(before) + 1  # nothing is left open


@pytest.mark.parametrize(
    ("certificate", "key", "message"),
    [
        (Pem("/nonexistent"), Pem("/nonexistent"), "certificate and key /nonexistent: no such file"),
        (Pem(data="broken"), Pem(data="broken"), "certificate and key: no usable PEM"),
        (Pem(str(TLS / "client.pem")), Pem(str(TLS / "server.key")), "no usable PEM .key values mismatch"),
    ],
)
def test_client_certificates_that_cannot_be_used_are_told(certificate, key, message):
    with pytest.raises(ApiError, match=message):
        signer(server="https://192.0.2.1", certificate=certificate, key=key)
