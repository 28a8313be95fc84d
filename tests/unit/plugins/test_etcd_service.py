# SPDX-License-Identifier: Apache-2.0
"""SkyDNS messages and the keys that they are at."""

import pytest

from clusterdns.dns import names
from clusterdns.errors import WireError
from clusterdns.plugins.etcd.service import Kind, Place, Service, Tree, decode_service, group, ttl_seconds


def test_a_whole_message():
    value = (
        b'{"host":"web.example.org","port":80,"priority":5,"weight":3,"text":"t","mail":true,"ttl":9,"targetstrip":1,'
        b'"group":"g"}'
    )
    assert decode_service(value, "/k", "7") == Service(
        "web.example.org", 80, 5, 3, "t", True, 9, 1, "g", key="/k", lease="7"
    )


@pytest.mark.parametrize("value", [b"{}", b"null", b'{"host":null,"other":[1,{}]}', b' {"KEY":"/x"} '])
def test_what_says_nothing(value):
    assert decode_service(value, "/k") == Service(key="/k")


def test_letters_of_fields_do_not_matter():
    assert decode_service(b'{"HOST":"10.0.0.1","Ttl":5}', "/k") == Service("10.0.0.1", ttl=5, key="/k")


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"{",
        b"[]",
        b'"x"',
        b'{"port":"80"}',
        b'{"port":80.5}',
        b'{"ttl":-1}',
        b'{"ttl":4294967296}',
        b'{"mail":1}',
        b"\xff",
    ],
)
def test_what_is_no_message(value):
    with pytest.raises(ValueError):
        decode_service(value, "/k")


@pytest.mark.parametrize(
    ("host", "text", "kind"),
    [
        ("10.0.0.1", "", Kind.IPV4),
        ("10.0.0.1", "text", Kind.IPV4),
        ("::ffff:10.0.0.1", "", Kind.IPV4),
        ("2001:db8::1", "", Kind.IPV6),
        ("fe80::1%eth0", "", Kind.ALIAS),
        ("010.0.0.1", "", Kind.ALIAS),
        ("web.example.org", "", Kind.ALIAS),
        ("web.example.org", "text", Kind.TEXT),
        ("", "text", Kind.TEXT),
    ],
)
def test_kinds(host, text, kind):
    assert Service(host, text=text).kind is kind


def test_host_names():
    assert Service("a.b").host_name == Service("a.b.").host_name == b"\1a\1b\0"
    with pytest.raises(WireError):
        _ = Service("a..b").host_name


@pytest.mark.parametrize(
    ("strip", "name"), [(0, "a.b.c."), (1, "b.c."), (2, "c."), (3, "a.b.c."), (9, "a.b.c."), (-1, "a.b.c.")]
)
def test_labels_are_taken_off_unless_nothing_would_be_left(strip, name):
    assert Service(targetstrip=strip).stripped(names.from_text("a.b.c.")) == names.from_text(name)


@pytest.mark.parametrize(
    ("written", "lease", "seconds"),
    [(0, None, 300), (60, None, 60), (0, 40, 40), (60, 40, 40), (20, 40, 20), (2**32 - 1, None, 2**31 - 1)],
)
def test_the_smaller_ttl_counts(written, lease, seconds):
    assert ttl_seconds(Service(ttl=written), lease) == seconds


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("/skydns", "/skydns/org/example/www"),
        ("skydns/", "/skydns/org/example/www"),
        ("/a//b/./c/../d", "/a/b/d/org/example/www"),
        ("/", "/org/example/www"),
        ("", "/org/example/www"),
    ],
)
def test_keys_of_names_and_names_of_keys(path, key):
    tree = Tree(path)
    name = names.from_text("www.example.org.")
    place = tree.place(name)
    assert place is not None
    assert place.key.decode() == key
    assert place.wildcard is None
    assert tree.name(key) == name
    assert tree.name(key + "/x1") == names.from_text("x1.www.example.org.")


def test_odd_names_have_keys_too():
    tree = Tree("/skydns")
    assert tree.place(names.from_text(r"a\.b.c\007d.org.")).key == rb"/skydns/org/c\007d/a\.b"
    assert tree.place(names.from_text("a/b.org.")) is None
    assert tree.place(names.ROOT).key == b"/skydns"


def test_wildcards_stand_for_one_segment_each():
    place = Tree("/any").place(names.from_text("web.*.any.org."))
    assert place == Place(("any", "org", "any", "*", "web"), 2)
    assert place.key == b"/any/org"
    assert place.fits("/any/org/x/y/web")
    assert place.fits("/any/org/x/y/web/more")
    assert not place.fits("/any/org/x/y/db")
    assert not place.fits("/any/org/x/web")


def services(*keys):
    return [Service(f"10.0.0.{number}", key=key, group=name) for number, (key, name) in enumerate(keys)]


@pytest.mark.parametrize(
    ("keys", "shown"),
    [
        ([], []),
        ([("/a", ""), ("/b", "")], [0, 1]),
        ([("/a", "g1"), ("/b/c", "g2"), ("/d", "")], [0, 2]),
        ([("/a", "g1"), ("/b", "g2")], [0, 1]),
        ([("/a/b", "g1"), ("/c", "g2"), ("/d/e", "g1")], [1]),
        ([("/a/b", "g1"), ("/a/c", "g2"), ("/d", "")], [0, 1, 2]),
        ([("/a/b", "g1"), ("/d", ""), ("/e/f", "g2")], [0, 1]),
        ([("/a", ""), ("/b", "g1"), ("/c/d", "g2")], [0, 1, 2]),
    ],
)
def test_the_group_of_the_topmost_counts(keys, shown):
    found = services(*keys)
    assert [found.index(service) for service in group(found)] == shown
