# SPDX-License-Identifier: Apache-2.0
"""What is put into etcd, the Corefile that serves it, and what is asked: the same for this server and for CoreDNS."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from support.etcd_server import EtcdServer

TYPES = ("A", "AAAA", "TXT", "SRV", "MX", "CNAME", "PTR", "NS", "ANY", "HTTPS")

COREFILE = """\
skydns.local:PORT 10.0.0.0/24:PORT {
    bind 127.0.0.1
    etcd {
        endpoint ETCD
        max-lease-ttl 100
    }
}
empty.local:PORT bad.local:PORT {
    bind 127.0.0.1
    etcd {
        endpoint ETCD
    }
}
fall.local:PORT {
    bind 127.0.0.1
    etcd {
        endpoint ETCD
        fallthrough
    }
    erratic {
        drop 0
        truncate 0
        delay 0
    }
}
deep.local:PORT {
    bind 127.0.0.1
    etcd {
        path /some/where
        endpoint ETCD
    }
}
elsewhere.test:PORT {
    bind 127.0.0.1
    file FOLDER/elsewhere.test
}
broken.test:PORT {
    bind 127.0.0.1
    template ANY ANY {
        rcode SERVFAIL
    }
}
"""

ELSEWHERE = """\
@ 300 SOA ns admin 1 7200 1800 86400 60
@ 300 NS ns
ns 300 A 192.0.2.53
www 300 A 192.0.2.80
www 300 AAAA 2001:db8::80
www 300 TXT "elsewhere"
chain 300 CNAME www
text 300 TXT "no address"
"""

LOCAL = {
    "a/x1": {"host": "10.0.0.1", "ttl": 60},
    "a/x2": {"host": "10.0.0.2", "port": 8080},
    "one": {"host": "10.0.0.20", "ttl": 20},
    "v6": {"host": "2001:db8::1"},
    "dual/x1": {"host": "10.0.0.21"},
    "dual/x2": {"host": "2001:db8::21"},
    "mapped": {"host": "::ffff:10.0.0.9"},
    "twice/x1": {"host": "10.0.0.22", "ttl": 60},
    "twice/x2": {"host": "10.0.0.22", "ttl": 60},
    "alias": {"host": "a.skydns.local"},
    "alias-dot": {"host": "one.skydns.local.", "ttl": 5},
    "alias2": {"host": "alias.skydns.local"},
    "alias-caps": {"host": "ONE.skydns.local"},
    "nowhere": {"host": "missing.skydns.local"},
    "loop1": {"host": "loop2.skydns.local"},
    "loop2": {"host": "loop1.skydns.local"},
    "self": {"host": "self.skydns.local"},
    "below/x1": {"host": "x1.below.skydns.local"},
    "below/x2": {"host": "10.0.0.23"},
    "ext": {"host": "www.elsewhere.test", "ttl": 30},
    "ext-chain": {"host": "chain.elsewhere.test"},
    "ext-nx": {"host": "missing.elsewhere.test"},
    "ext-nodata": {"host": "text.elsewhere.test"},
    "ext-broken": {"host": "www.broken.test"},
    "ext-nobody": {"host": "www.example.invalid"},
    "many/x1": {"host": "a.skydns.local"},
    "many/x2": {"host": "alias.skydns.local"},
    "many/x3": {"host": "www.elsewhere.test"},
    "srv/s1": {"host": "10.0.0.30", "port": 80, "priority": 5, "weight": 3},
    "srv/s2": {"host": "2001:db8::30", "port": 80, "priority": 5},
    "srv/s3": {"host": "dual.skydns.local", "port": 81},
    "srv/s4": {"host": "www.elsewhere.test", "port": 82},
    "srv/s5": {"host": "10.0.0.31", "port": -1},
    "srv/s6": {"host": "dual.skydns.local", "port": 81},
    "strip/x/s1": {"host": "10.0.0.32", "port": 1, "targetstrip": 1, "mail": True},
    "strip/y/s1": {"host": "one.skydns.local", "port": 2, "targetstrip": 1},
    "strip/z/s1": {"host": "10.0.0.33", "port": 3, "targetstrip": 9},
    "mail/m1": {"host": "10.0.0.40", "mail": True, "priority": 20},
    "mail/m2": {"host": "dual.skydns.local", "mail": True},
    "mail/m3": {"host": "10.0.0.41"},
    "mail/m4": {"host": "www.elsewhere.test", "mail": True},
    "txt/t1": {"text": "hello"},
    "txt/t2": {"text": "x" * 300},
    "txt/t3": {"text": "hello"},
    "txt255": {"text": "y" * 255},
    "txt-host": {"host": "a.skydns.local", "text": "both"},
    "txt-address": {"host": "10.0.0.42", "text": "both"},
    "txt-alias": {"host": "txt.skydns.local"},
    "group/a": {"host": "10.0.0.50", "group": "g1"},
    "group/b/c": {"host": "10.0.0.51", "group": "g2"},
    "group/d": {"host": "10.0.0.52"},
    "torn/a": {"host": "10.0.0.53", "group": "g1"},
    "torn/b": {"host": "10.0.0.54", "group": "g2"},
    "caps": {"HOST": "10.0.0.60", "Ttl": 7, "unknown": [1]},
    "empty": {},
    "service/east/web/x1": {"host": "10.0.0.70"},
    "service/west/web/x1": {"host": "10.0.0.71"},
    "service/west/db/x1": {"host": "10.0.0.72"},
    "dns/apex/x1": {"host": "10.0.0.99", "ttl": 60},
    "dns/apex/x2": {"host": "2001:db8::99", "ttl": 60},
    "dns/ns/ns1": {"host": "10.0.0.53"},
    "dns/ns/ns2": {"host": "2001:db8::53"},
}
"""By the path of a key below /skydns/local/skydns."""

KEYS: dict[str, Any] = {
    **{f"/skydns/local/skydns/{path}": message for path, message in LOCAL.items()},
    "/skydns/local/skydns/null": "null",
    "/skydns/local/bad/broken": '{"host": ',
    "/skydns/local/bad/half/bad": '{"host": "10.0.0.61", "port": "80"}',
    "/skydns/local/bad/half/good": {"host": "10.0.0.62"},
    "/skydns/local/skydns2/x": {"host": "10.0.0.63"},
    "/skydns/local/fall/inside": {"host": "10.0.0.64"},
    "/skydns/arpa/in-addr/10/0/0/1": {"host": "a.skydns.local", "ttl": 90},
    "/skydns/arpa/in-addr/10/0/0/2": {"host": "10.0.0.1"},
    "/skydns/arpa/in-addr/10/0/0/3/x1": {"host": "one.skydns.local"},
    "/some/where/local/deep/s/x1": {"host": "10.0.0.80", "port": 1},
}

NAMES = (
    "@ a x1.a b.a one v6 dual mapped twice alias alias-dot alias2 alias-caps nowhere missing loop1 self below ext "
    "ext-chain ext-nx ext-nodata ext-broken ext-nobody many srv s1.srv strip mail txt txt255 txt-host txt-address "
    "txt-alias group torn lease lease-ttl caps empty null service west.service *.service any.service web.*.service "
    "db.*.service x.*.service dns apex.dns ns.dns A.SKYDNS.Local. w\\/x a.b\\.c"
)
OTHER_NAMES = (
    "empty.local. x.empty.local. broken.bad.local. half.bad.local. good.half.bad.local. fall.local. inside.fall.local. "
    "behind.fall.local. x.fall.local. s.deep.local. 1.0.0.10.in-addr.arpa. 2.0.0.10.in-addr.arpa. "
    "3.0.0.10.in-addr.arpa. 4.0.0.10.in-addr.arpa. 0.0.10.in-addr.arpa."
)


def questions() -> list[tuple[str, str]]:
    """Names and types."""
    local = [name if name.endswith(".") else f"{name}.skydns.local.".removeprefix("@.") for name in NAMES.split()]
    asked = [(name, rtype) for name in (*local, *OTHER_NAMES.split()) for rtype in TYPES]
    return asked + [(name, "SOA") for name in ("skydns.local.", "a.skydns.local.", "x.skydns.local.", "empty.local.")]


def fill(etcd: EtcdServer) -> None:
    """Put everything into the store."""
    for key, message in KEYS.items():
        etcd.put(key, message)
    etcd.put("/skydns/local/skydns/lease", {"host": "10.0.0.65"}, lease=etcd.grant(3600))
    etcd.put("/skydns/local/skydns/lease-ttl", {"host": "10.0.0.66", "ttl": 20}, lease=etcd.grant(3600))


def write_corefile(folder: Path, etcd: EtcdServer) -> Path:
    """The Corefile and its zone files; ``PORT`` is left in it."""
    (folder / "elsewhere.test").write_text(ELSEWHERE)
    path = folder / "Corefile"
    path.write_text(COREFILE.replace("ETCD", etcd.url).replace("FOLDER", str(folder)))
    return path
