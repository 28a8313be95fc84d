# SPDX-License-Identifier: Apache-2.0
"""The subcommands that start nothing."""

import json

import pytest

from clusterdns.cli import main

GOOD = ".:1053 {\n    whoami\n}\n"
BAD = "a.test {\n  whoami x\n  nope\n}\nb..test {\n  geoip file\n}\n"


@pytest.fixture
def corefile(tmp_path):
    def write(text):
        path = tmp_path / "Corefile"
        path.write_text(text)
        return str(path)

    return write


def test_check_accepts_a_good_file_in_silence(corefile, capsys):
    assert main.main(["check", corefile(GOOD)]) == 0
    assert capsys.readouterr().out == ""


def test_check_reports_every_error_with_its_position_and_a_hint(corefile, capsys):
    path = corefile(BAD)
    assert main.main(["check", path]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[0] for line in lines if line.startswith(path)] == [
        f"{path}:2:10", f"{path}:3:3", f"{path}:5:1", f"{path}:6:3",
    ]  # fmt: skip
    assert any(line.startswith("    hint: ") for line in lines)


def test_check_warns_and_exits_with_0(corefile, capsys):
    path = corefile("bad_name.test {\n  whoami\n}\n")
    assert main.main(["check", path]) == 0
    assert f"{path}:1:1: warning: Domain" in capsys.readouterr().out


def test_check_as_json(corefile, capsys):
    path = corefile(BAD)
    assert main.main(["check", "--json", path]) == 1
    findings = json.loads(capsys.readouterr().out)
    assert findings[1] == {
        "severity": "error",
        "file": path,
        "line": 3,
        "column": 3,
        "message": "Unknown directive 'nope'",
        "directive": "",
        "hint": findings[1]["hint"],
    }
    assert main.main(["check", "--json", corefile(GOOD)]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_check_of_a_file_that_is_not_there(tmp_path, capsys):
    assert main.main(["check", str(tmp_path / "no")]) == 1
    says, hint = capsys.readouterr().out.splitlines()
    assert says == f"open {tmp_path}/no: no such file or directory"
    assert "clusterdns check FILE" in hint


def test_fmt_prints_or_writes_or_checks(corefile, capsys, tmp_path):
    path = corefile(".:1053 {\n whoami # who\n}\n")
    assert main.main(["fmt", "--check", path]) == 1
    assert main.main(["fmt", path]) == 0
    formatted = capsys.readouterr().out
    assert formatted == ".:1053 {\n    whoami # who\n}\n"
    (tmp_path / "Corefile").chmod(0o640)
    assert main.main(["fmt", "-w", path]) == 0
    assert (tmp_path / "Corefile").read_text() == formatted
    assert (tmp_path / "Corefile").stat().st_mode & 0o777 == 0o640
    assert main.main(["fmt", "--check", path]) == 0
    assert [entry.name for entry in tmp_path.iterdir()] == ["Corefile"]


def test_fmt_leaves_a_broken_file_alone(corefile, capsys, tmp_path):
    path = corefile(". {\n whoami\n")
    assert main.main(["fmt", "-w", path]) == 1
    assert (tmp_path / "Corefile").read_text() == ". {\n whoami\n"
    assert f"{path}:2:" in capsys.readouterr().err


def test_help_shows_manual_pages(capsys):
    assert main.main(["help", "kubernetes"]) == 0
    assert "## Syntax" in capsys.readouterr().out
    assert main.main(["help"]) == 0
    assert "usage: clusterdns" in capsys.readouterr().out
    assert main.main(["help", "kubernets"]) == 1
    assert "did you mean kubernetes?" in capsys.readouterr().err
    assert main.main(["help", "geoip"]) == 1
    assert "isn't implemented yet" in capsys.readouterr().err


def test_plugins_in_order_and_missing_ones(capsys):
    main.main(["plugins", "--order"])
    names = capsys.readouterr().out.split()
    assert names.index("errors") < names.index("loadbalance") < names.index("kubernetes") < names.index("whoami")
    main.main(["plugins", "--missing"])
    assert "geoip" in capsys.readouterr().out.split()


@pytest.mark.parametrize("command", ["serve", "check", "fmt", "plugins", "help"])
def test_every_command_has_help(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main.main([command, "--help"])
    assert ended.value.code == 0
    assert f"usage: clusterdns {command}" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [["--zone", "x"], ["--manifests", ".", "--conf", "Corefile", "--zone", "x"], ["--port", "70000"]],
    ids=["zone-alone", "both", "port"],
)
def test_serve_refuses_contradictions(words):
    with pytest.raises(SystemExit) as ended:
        main.main(["serve", *words])
    assert ended.value.code == 2


@pytest.mark.parametrize("port", ["70000", "-1", "x", "٣"])
def test_serve_says_what_a_port_is(port, capsys):
    with pytest.raises(SystemExit):
        main.main(["serve", f"--port={port}"])
    assert f"{port!r} is not a port: give a number from 0 to 65535" in capsys.readouterr().err


def test_serve_without_a_corefile_names_both_ways(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main.main(["serve"]) == 1
    says, hint = capsys.readouterr().err.splitlines()
    assert says == "loading Caddyfile via flag: open Corefile: no such file or directory"
    assert "--manifests" in hint


def test_serve_refuses_a_directory_that_is_not_there(capsys):
    assert main.main(["serve", "--manifests", "/nonexistent"]) == 1
    assert "is not a directory" in capsys.readouterr().err
