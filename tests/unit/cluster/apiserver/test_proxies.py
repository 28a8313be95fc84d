# SPDX-License-Identifier: Apache-2.0
import pytest

from clusterdns.cluster.apiserver.proxies import environment_proxy

PROXY = "http://proxy.example:3128"


@pytest.mark.parametrize(
    ("url", "environ", "expected"),
    [
        ("https://10.96.0.1:443", {}, ""),
        ("https://10.96.0.1:443", {"HTTPS_PROXY": PROXY}, PROXY),
        ("https://10.96.0.1:443", {"https_proxy": PROXY}, PROXY),
        ("https://10.96.0.1:443", {"HTTPS_PROXY": "proxy.example:3128"}, PROXY),
        ("https://10.96.0.1:443", {"HTTP_PROXY": PROXY}, ""),
        ("http://10.96.0.1", {"HTTP_PROXY": PROXY}, PROXY),
        ("https://127.0.0.1:6443", {"HTTPS_PROXY": PROXY}, ""),
        ("https://[::1]:6443", {"HTTPS_PROXY": PROXY}, ""),
        ("https://localhost:6443", {"HTTPS_PROXY": PROXY}, ""),
    ],
)
def test_the_proxy_of_the_scheme_is_taken_and_never_for_loopback(url, environ, expected):
    assert environment_proxy(url, environ) == expected


@pytest.mark.parametrize(
    ("host", "no_proxy", "exempt"),
    [
        ("10.96.0.1", "*", True),
        ("10.96.0.1", "10.96.0.1", True),
        ("10.96.0.1", "10.0.0.0/8", True),
        ("10.96.0.1", "192.168.0.0/16, 10.96.0.0/12", True),
        ("10.96.0.1", "10.96.0.2,11.0.0.0/8", False),
        ("10.96.0.1", "10.96.0.1:443", True),
        ("10.96.0.1", "10.96.0.1:6443", False),
        ("[fd00::1]", "fd00::/8", True),
        ("[fd00::1]", "[fd00::1]:443", True),
        ("api.example", "example", True),
        ("api.example", ".example", True),
        ("api.example", "*.example", True),
        ("example", ".example", False),
        ("api.example", "API.Example", True),
        ("notexample", "example", False),
        ("api.example", "10.0.0.0/8", False),
        ("10.96.0.1", "", False),
    ],
)
def test_no_proxy_exempts_addresses_networks_and_names(host, no_proxy, exempt):
    found = environment_proxy(f"https://{host}:443", {"HTTPS_PROXY": PROXY, "NO_PROXY": no_proxy})
    assert found == ("" if exempt else PROXY)
