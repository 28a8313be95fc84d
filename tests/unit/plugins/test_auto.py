# SPDX-License-Identifier: Apache-2.0
import os

import pytest
from support.directives import FakeSetup, check, finished, make, parse, query

from clusterdns.dns import names
from clusterdns.dns.types import NOERROR, NXDOMAIN, REFUSED, SERVFAIL
from clusterdns.plugins.auto import Auto

ZONE = "$TTL 60\n@ SOA ns admin {} 7200 3600 1209600 300\n@ NS ns\nwww A 192.0.2.{}\n"
AT = "plugin/auto: Corefile:"
COUNT = "Wrong argument count or unexpected line ending after"


def write(path, serial=1, text=ZONE):
    before = path.stat().st_mtime_ns if path.exists() else 0
    path.write_text(text.format(serial, serial))
    os.utime(path, ns=(before + 1_000_000_000, before + 1_000_000_000))


def started(text):
    setup = FakeSetup(zones=(".",))
    plugin = make(text, setup=setup)
    finished(plugin.start())
    for work, _ in plugin.services.spawned:
        work.close()
    return plugin


def served(plugin):
    return sorted(names.to_text(zone) for zone in plugin.transferable())


def auto(directory, options="", zones="."):
    return f"auto {zones} {{\ndirectory {directory} {options}\n}}"


def last_octet(plugin, name):
    question = query(name)
    return plugin.handle(question).records(question).answer[0].data[-1]


# The Corefile


def test_defaults():
    (use,) = parse("auto {\ndirectory zones\n}")
    assert (use.directory, use.template, use.reload_seconds) == ("zones", "{1}", 60)
    assert use.regex.find("db.example.org") == ("db.example.org", "example.org")
    assert use.zones == (names.from_text("example.org."),)


def test_all_options():
    (use,) = parse("auto a.test {\ndirectory zones (.*)[.]zone {1}.a.test\nreload 5s\n}")
    assert (use.template, use.reload_seconds, use.regex.pattern) == ("{1}.a.test", 5, "(.*)[.]zone")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("directory", f"{AT}3 - Error during parsing: {COUNT} 'directory'"),
        ("directory . (.*)", f"{AT}3 - Error during parsing: {COUNT} '(.*)'"),
        ("directory . a b c", f"{AT}3 - Error during parsing: {COUNT} 'c'"),
        ("directory . db {1}", f"{AT}3 - Error during parsing: Need at least one sub expression"),
        ("directory . ( {1}", "plugin/auto: error parsing regexp: missing closing ): `(`"),
        (f"directory . {'x' * 10001} x", f"{AT}3 - Error during parsing: regexp too large"),
        ("reload", "plugin/auto: reload duration value is expected"),
        ("reload -1s", "plugin/auto: invalid duration"),
        ("nope", f"{AT}3 - Error during parsing: unknown property 'nope'"),
    ],
)
def test_faults(text, error):
    assert [each.coredns_text() for each in check(f"auto {{\n{text}\n}}").errors] == [error]


def test_nothing_to_read_is_warned_of():
    assert [each.message for each in check("auto").warnings] == ["without a directory no zone is served"]


# Files


def test_files_become_zones_by_their_names(tmp_path):
    write(tmp_path / "db.a.test")
    (tmp_path / "below").mkdir()
    write(tmp_path / "below" / "db.B.test", 2)
    write(tmp_path / "other.txt")
    plugin = started(auto(tmp_path))
    assert served(plugin) == ["a.test.", "b.test."]
    assert last_octet(plugin, "www.b.test.") == 2
    assert plugin.handle(query("nope.a.test.")).rcode == NXDOMAIN


@pytest.mark.parametrize(
    ("options", "file", "zone"),
    [
        ("(.*)[.]zone$ {1}", "a.test.zone", "a.test."),
        ("(?P<left>[a-z]+)-([a-z]+) {2}.{left}", "test-a", "a.test."),
        ("db[.](.*) {1}.sub.test.", "db.a", "a.sub.test."),
        ("db[.](.*) ${1}{9}", "db.a.test", "a.test."),
    ],
)
def test_the_name_of_the_zone_is_made_of_groups(tmp_path, options, file, zone):
    write(tmp_path / file)
    assert served(started(auto(tmp_path, options))) == [zone]


def test_the_copies_in_a_mounted_config_map_are_left_out(tmp_path, caplog):
    (tmp_path / "..2026").mkdir()
    write(tmp_path / "..2026" / "db.a.test", 1)
    (tmp_path / "..data").symlink_to("..2026")
    (tmp_path / "db.a.test").symlink_to("..data/db.a.test")
    plugin = started(auto(tmp_path))
    assert served(plugin) == ["a.test."]
    assert "Multiple" not in caplog.text
    (tmp_path / "..2027").mkdir()
    write(tmp_path / "..2027" / "db.a.test", 2)
    (tmp_path / "..new").symlink_to("..2027")
    (tmp_path / "..new").rename(tmp_path / "..data")
    finished(plugin.look(0))
    assert last_octet(plugin, "www.a.test.") == 2


def test_files_appear_change_and_go(tmp_path):
    plugin = started(auto(tmp_path))
    assert served(plugin) == []
    write(tmp_path / "db.a.test", 1)
    finished(plugin.look(0))
    assert last_octet(plugin, "www.a.test.") == 1
    write(tmp_path / "db.a.test", 2)
    published = plugin.setup.published
    finished(plugin.look(0))
    assert last_octet(plugin, "www.a.test.") == 2
    assert plugin.setup.published > published
    (tmp_path / "db.a.test").unlink()
    finished(plugin.look(0))
    assert plugin.handle(query("www.a.test.")).plugin == "behind"


def test_a_file_with_a_fault_is_servfail_until_it_is_mended(tmp_path, caplog):
    write(tmp_path / "db.a.test", text="nonsense")
    plugin = started(auto(tmp_path))
    assert plugin.handle(query("www.a.test.")).rcode == SERVFAIL
    assert "Parse zone `a.test.'" in caplog.text
    write(tmp_path / "db.a.test")
    finished(plugin.look(0))
    assert plugin.handle(query("www.a.test.")).rcode == NOERROR
    write(tmp_path / "db.a.test", text="nonsense")
    finished(plugin.look(0))
    assert plugin.handle(query("www.a.test.")).rcode == NOERROR


def test_what_is_not_read_is_warned_of_once(tmp_path, caplog):
    write(tmp_path / "db.a.test")
    write(tmp_path / "db.A.test")
    write(tmp_path / "db.other.example")
    write(tmp_path / "db.x..test")
    plugin = started(auto(tmp_path, zones="test"))
    finished(plugin.look(0))
    assert served(plugin) == ["a.test."]
    assert caplog.text.count('Multiple zone files match origin "a.test."') == 1
    assert caplog.text.count("other.example. is outside of the zones") == 1
    assert caplog.text.count("empty label") == 1


def test_a_directory_that_is_not_there_is_looked_for(tmp_path, caplog):
    plugin = started(auto(tmp_path / "later"))
    assert f"Directory does not exist: {tmp_path}/later" in caplog.text
    (tmp_path / "later").mkdir()
    write(tmp_path / "later" / "db.a.test")
    finished(plugin.look(0))
    assert served(plugin) == ["a.test."]


def test_two_directories(tmp_path, caplog):
    for name, serial in (("one", 1), ("two", 2)):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "db.both.test", serial)
        write(tmp_path / name / f"db.{name}.test", serial)
    plugin = started(f"{auto(tmp_path / 'one')}\n{auto(tmp_path / 'two')}")
    assert served(plugin) == ["both.test.", "one.test.", "two.test."]
    assert last_octet(plugin, "www.both.test.") == 1
    assert "db.both.test is not read" in caplog.text


def test_behind_it_is_nobody_who_would_answer():
    assert Auto.end_rcode == REFUSED
