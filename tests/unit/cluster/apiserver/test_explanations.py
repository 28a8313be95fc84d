# SPDX-License-Identifier: Apache-2.0
import errno
import json
import os
import socket
import ssl

import pytest

from clusterdns.cluster.apiserver.explanations import not_json, refused, unreachable

SERVER = "https://10.96.0.1:443"


def certificate_error(code, message):
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code, error.verify_message = code, message
    return error


def tls_error(reason):
    error = ssl.SSLError(1, f"[SSL: {reason}] failed")
    error.reason = reason
    return error


@pytest.mark.parametrize(
    ("error", "cause", "cure"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), "connection refused", "nothing listens there"),
        (OSError(errno.EHOSTUNREACH, "no route"), "no route to host", "network policies"),
        (OSError(errno.ENETUNREACH, "unreachable"), "network is unreachable", "routes"),
        (TimeoutError(errno.ETIMEDOUT, "timed out"), "connection timed out", "firewalls"),
        (socket.gaierror(-2, "Name or service not known"), "can't be resolved", "dnsPolicy: Default"),
        (certificate_error(20, "x"), "x509: certificate signed by unknown authority", "certificate-authority"),
        (certificate_error(19, "x"), "x509: certificate signed by unknown authority", "ca.crt"),
        (certificate_error(10, "x"), "x509: certificate has expired", "clock"),
        (certificate_error(64, "IP address mismatch"), "x509: IP address mismatch", "tls-server-name"),
        (certificate_error(7, "bad signature"), "x509: bad signature", ""),
        (tls_error("WRONG_VERSION_NUMBER"), "doesn't speak TLS", "http://"),
        (tls_error("TLSV13_ALERT_CERTIFICATE_REQUIRED"), "refuses the client's certificate", "client-certificate"),
        (tls_error("NO_SHARED_CIPHER"), "TLS: no shared cipher", ""),
        (OSError(errno.EIO, os.strerror(errno.EIO)), "Input/output error", ""),
        (ValueError(), "ValueError", ""),
    ],
)
def test_what_keeps_from_the_server_has_a_cause_and_a_cure(error, cause, cure):
    found = unreachable(SERVER, error)
    assert found.reason.startswith(f"{SERVER}: ")
    assert cause in found.reason
    assert cure in found.hint
    assert bool(cure) == bool(found.hint)
    assert found.status == 0


def status(message):
    return json.dumps({"kind": "Status", "message": message, "reason": "Forbidden"}).encode()


def test_403_names_who_what_and_the_role():
    message = 'services is forbidden: User "system:serviceaccount:kube-system:coredns" cannot list resource "services"'
    found = refused(403, status(message), verb="list", resource="services")
    assert str(found) == (
        '403: user "system:serviceaccount:kube-system:coredns" may not list services: see deploy/new/rbac.yaml'
    )
    assert found.status == 403


def test_403_without_a_message_names_the_source_of_the_credentials():
    found = refused(403, b"no", verb="watch", resource="serviceimports", authority="endpoint")
    assert str(found) == "403: endpoint may not watch serviceimports: see deploy/components/multicluster/rbac.yaml"
    found = refused(403, b"", verb="list", resource="endpointslices")
    assert str(found) == "403: the service account may not list endpointslices: see deploy/new/rbac.yaml"


@pytest.mark.parametrize(
    ("code", "body", "expected"),
    [
        (401, status("Unauthorized"), "401: the API server doesn't accept the credentials of the service account: "),
        (404, b"404 page not found", "404: the API server has no services: "),
        (302, b"", "302: redirected while asking for services: "),
        (429, b"Too many requests, please try again later.\n", "429: Too many requests, please try again later. ("),
        (500, status("etcdserver: request timed out"), "500: etcdserver: request timed out (list services)"),
        (503, b"", "503: no message (list services)"),
        (502, b"\xff\x00" * 1000, "502: "),
    ],
)
def test_other_refusals_say_what_the_server_says(code, body, expected):
    found = refused(code, body, verb="list", resource="services", authority="the service account")
    assert str(found).startswith(expected)
    assert len(str(found)) < 450
    assert found.status == code


def test_something_else_than_json_is_called_by_its_type():
    assert str(not_json("text/html", "services")).startswith("the answer for services is text/html instead of JSON: ")
    assert "of no type" in str(not_json("", "services"))
