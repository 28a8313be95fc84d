# SPDX-License-Identifier: Apache-2.0
"""CoreDNS's flags."""

import re

import pytest

from clusterdns import __version__
from clusterdns.cli import dropin, main
from clusterdns.plugins.table import DIRECTIVES


@pytest.mark.parametrize(
    ("words", "field", "value"),
    [
        (["-conf", "F"], "conf", "F"),
        (["--conf", "F"], "conf", "F"),
        (["-conf=F"], "conf", "F"),
        (["-conf="], "conf", ""),
        (["-dns.port", "1053"], "port", "1053"),
        (["-p", "1", "-dns.port=2"], "port", "2"),
        (["-dns.port=2", "-p", "1"], "port", "1"),
        (["-pidfile", "/p"], "pidfile", "/p"),
        (["-quiet"], "quiet", True),
        (["-quiet=false"], "quiet", False),
        (["-version"], "version", True),
        (["--plugins"], "plugins", True),
        (["-quiet", "word", "-version"], "rest", ["word", "-version"]),
        (["--", "-version"], "rest", ["-version"]),
        (["-conf", "-version"], "conf", "-version"),
    ],
)
def test_flags_follow_gos_rules(words, field, value):
    assert getattr(dropin.parse_flags(words), field) == value


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-nope"], "flag provided but not defined: -nope"),
        (["-conf"], "flag needs an argument: -conf"),
        (["---conf", "F"], "bad flag syntax: ---conf"),
        (["-=F"], "bad flag syntax: -=F"),
        (["-quiet=maybe"], 'invalid boolean value "maybe" for -quiet'),
    ],
)
def test_bad_flags_print_usage_and_exit_with_2(words, message, capsys):
    assert main.main(words) == 2
    output = capsys.readouterr().err
    assert output.startswith(message)
    assert "usage: clusterdns" in output


def test_words_that_are_no_flags_exit_with_1(capsys):
    assert main.main(["x"]) == 1
    says, hint = capsys.readouterr().err.splitlines()
    assert says == "extra command line arguments: [x]"
    assert "serve, check, fmt" in hint


def test_version_has_two_lines(capsys):
    assert main.main(["-version"]) == 0
    assert re.fullmatch(
        rf"clusterdns-{re.escape(__version__)}\n\w+/\w+, python3\.\d+\.\d+\S*\n", capsys.readouterr().out
    )


def test_plugins_are_listed_by_name(capsys):
    assert main.main(["-plugins"]) == 0
    names = capsys.readouterr().out.split()
    assert names == sorted(name for name, target in DIRECTIVES.items() if target)
    assert "kubernetes" in names
    assert "geoip" not in names


@pytest.mark.parametrize("port", ["x", "70000", "-1", "٣"])
def test_bad_port(port, capsys):
    assert main.main([f"-dns.port={port}"]) == 1
    assert "is not a port" in capsys.readouterr().err


def test_unreadable_corefile(tmp_path, capsys):
    path = tmp_path / "nope"
    assert main.main(["-conf", str(path)]) == 1
    says, hint = capsys.readouterr().err.splitlines()
    assert says == f"loading Caddyfile via flag: open {path}: no such file or directory"
    assert "with -conf" in hint
