# SPDX-License-Identifier: Apache-2.0
"""What CoreDNS and this server are both asked: server blocks, and queries made to find out where they differ."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random

from conformance.normal_form import Form
from support.beside_coredns import Scenario
from support.random_zones import RandomZone
from support.upstream import Upstream

ZONE = Path(__file__).parents[1] / "data" / "zones" / "example.org"
FORWARD = "forward . UP"

TYPES = ("A", "AAAA", "TXT", "MX", "SRV", "CNAME", "ANY", "HTTPS", "SOA", "NS", "PTR")
WORDS_TEXT = (
    "a multi both aaaa txt mx srv cname chain3 dangling nx nxnosoa nodata empty servfail refused notimp formerr ttl0 "
    "ttl5 ttl3600 big trunc ad noaa upper wrongq opt other"
)
WORDS = WORDS_TEXT.split()
VARIANTS: tuple[Form, ...] = (
    {"tcp": True},
    {"edns": 1232},
    {"edns": 1232, "do": True},
    {"rd": False},
    {"cd": True},
    {"ad": True},
    {"edns": 4096, "tcp": True},
)


def ask(name: str, rtype: str = "A", **options: object) -> Form:
    return {"name": name, "type": rtype, **options}


def every(names: Iterable[str], types: Iterable[str] = TYPES) -> tuple[Form, ...]:
    """Each name with each type."""
    kinds = tuple(types)
    return tuple(ask(name, rtype) for name in names for rtype in kinds)


def varied(names: Iterable[str], rtype: str = "A") -> tuple[Form, ...]:
    """Each name over TCP, with EDNS, and with each flag."""
    return tuple(ask(name, rtype, **options) for name in names for options in VARIANTS)


UPSTREAM_NAMES = [f"{word}.up.test." for word in WORDS]
UPSTREAM_ASKS = (*every(UPSTREAM_NAMES), *varied(UPSTREAM_NAMES))

HOSTS = """\
# comment
10.0.0.1 one.test One-Alias.test
10.0.0.2 one.test two.test # trailing
2001:db8::1 one.test six.test
10.0.0.3 *.wild.test
10.0.0.4 a.b.wild.test
10.0.0.5 UPPER.Test
bad line
10.0.0.6
fe80::1%lo0 scoped.test
127.0.0.1 localhost
::1 localhost ip6-localhost
10.0.0.7 trail.test.
0.0.0.0 blocked.test
::ffff:10.0.0.8 mapped.test
10.0.0.9 same.test same.test
10.0.0.9 same.test
010.0.0.1 octal.test
10.0.0.10 bad_name.test -x.test
"""
HOSTS_NAMES_TEXT = (
    "one.test. ONE.test. one-alias.test. two.test. six.test. x.wild.test. y.x.wild.test. wild.test. a.b.wild.test. "
    "c.b.wild.test. b.wild.test. upper.test. scoped.test. localhost. ip6-localhost. trail.test. blocked.test. "
    "mapped.test. same.test. octal.test. bad_name.test. -x.test. nothere.test. test. . *.wild.test. a.up.test. "
    "inline.test. inline2.test."
)
HOSTS_REVERSE_TEXT = "1.0.0.10 2.0.0.10 3.0.0.10 9.0.0.10 1.0.0.127 1.1.0.10 0.0.0.0 0.10 8.0.0.10 99.0.0.10"
HOSTS_ASKS = (
    *every(HOSTS_NAMES_TEXT.split()),
    *every([f"{name}.in-addr.arpa." for name in HOSTS_REVERSE_TEXT.split()], ("PTR", "A", "TXT")),
    *varied(["one.test."]),
    ask("one.test.", klass="CH"),
)
HOSTS_OPTIONS = {
    "plain": "",
    "fallthrough": "fallthrough",
    "fallthrough-zone": "fallthrough wild.test in-addr.arpa",
    "ttl": "ttl 77\nno_reverse\nfallthrough",
    "inline": "10.1.0.1 inline.test inline2.test\n10.1.0.1 *.wild.test\nfallthrough",
}

REWRITE_NAMES_TEXT = (
    "old.test. OLD.test. x.old.test. a.up.test. www.my.test. WWW.My.Test. a.my.test. cname.my.test. chain3.my.test. "
    "mx.my.test. srv.my.test. nx.my.test. pre-x.up.test. a-middle-b.up.test. one.re.test. a.re.test. cname.re.test. "
    "deep.x.y.my.test. . test. both.my.test. aaaa.my.test. dangling.my.test. servfail.my.test. multi.my.test. "
    "ttl3600.my.test. txt.my.test. chain3.up.test. cname.up.test. upper.my.test. 1.2.3.4.in-addr.arpa."
)
REWRITE_NAMES = REWRITE_NAMES_TEXT.split()
REWRITE_ASKS = (
    *every(REWRITE_NAMES, ("A", "AAAA", "MX", "SRV", "TXT", "PTR", "CNAME", "ANY")),
    *varied(REWRITE_NAMES[:9]),
)
TO_UP_AUTO = "name suffix .my.test .up.test answer auto"
REWRITE_RULES: dict[str, tuple[str, ...]] = {
    "exact": ("name old.test a.up.test", "name exact x.old.test cname.up.test"),
    "exact-continue": ("continue name exact old.test a.up.test", "name exact a.up.test multi.up.test"),
    "prefix": ("name prefix pre- a.",),
    "suffix": ("name suffix .my.test .up.test",),
    "suffix-auto": (TO_UP_AUTO,),
    "suffix-without-dot": ("name suffix my.test up.test answer auto",),
    "substring": ("name substring middle chain3",),
    "substring-auto": ("name substring my up answer auto",),
    "regex": (r"name regex (.*)\.re\.test {1}.up.test",),
    "regex-answer": (r"name regex (.*)\.re\.test {1}.up.test answer name (.*)\.up\.test {1}.re.test",),
    "regex-auto": (r"name regex (.*)\.re\.test {1}.up.test answer auto",),
    "regex-value": (
        r"name regex (.*)\.my\.test {1}.up.test answer name (.*)\.up\.test {1}.my.test "
        r"answer value (.*)\.up\.test {1}.my.test answer value (.*)\.example\.net {1}.internal.test",
    ),
    "regex-anchored": (r"name regex ^(.*)\.my\.test\.$ {1}.up.test.",),
    "regex-swap": (r"name regex (.+)\.(.+)\.test {2}.{1}.up.test",),
    "regex-empty-label": (r"name regex (.*)\.my\.test {1}..up.test",),
    "regex-repeat": (r"name regex (.*)\.my\.test {1}.{1}.{1}.{1}.up.test",),
    "type": ("type MX A", "type AAAA A"),
    "type-continue": ("continue type AAAA A", TO_UP_AUTO),
    "class": ("class CH IN",),
    "ttl": ("ttl a.up.test 77", r"ttl regex (.*)\.up\.test 10-50"),
    "ttl-continue": ("continue " + TO_UP_AUTO, "ttl suffix .up.test 5-"),
    "ttl-first": ("continue ttl suffix .my.test -20", TO_UP_AUTO),
    "ttl-prefix": ("ttl prefix mult 0", "ttl substring up 1-2"),
    "rcode": ("rcode suffix .my.test NOERROR NXDOMAIN",),
    "rcode-forms": ("rcode exact nx.my.test NXDOMAIN NOERROR", r"rcode regex (.*)\.up\.test NOERROR REFUSED"),
    "rcode-continue": ("continue rcode suffix .test NXDOMAIN SERVFAIL", TO_UP_AUTO),
    "cname-exact": ("cname exact a.up.test. multi.up.test.",),
    "cname-to-nothing": ("cname exact a.up.test. nx.up.test.",),
    "cname-suffix": ("cname suffix up.test. other.test.",),
    "cname-regex": (r"cname regex (.*)\.up\.test\. {1}.my.test.",),
    "cname-prefix": ("cname prefix c mult",),
    "cname-substring": ("cname substring gone a",),
    "mixed": ("continue name prefix pre- a.", "continue " + TO_UP_AUTO, "name substring middle up"),
    "swap": ("continue name exact a.up.test multi.up.test", "name exact multi.up.test a.up.test"),
    "root": ("name exact old.test .",),
}
RANDOM_RULES = (
    *(rule for rules in REWRITE_RULES.values() for rule in rules if not rule.startswith(("continue", "cname"))),
    "name suffix .up.test .my.test",
    "name suffix .up.test .my.test answer auto",
    "name prefix c x",
    "rcode suffix .test SERVFAIL REFUSED",
)

TEMPLATES = r"""
template IN A tpl.test {
    match ^ip-(?P<a>[0-9]+)-(?P<b>[0-9]+)-(?P<c>[0-9]+)-(?P<d>[0-9]+)\.tpl\.test\.$
    answer "{{ .Name }} 60 IN A {{ .Group.a }}.{{ .Group.b }}.{{ .Group.c }}.{{ .Group.d }}"
    answer "{{ .Name }} 60 IN A 10.9.9.9"
    fallthrough
}
template IN A tpl.test {
    match ^nothing$
    match (^|[.])v(\d+)[.]tpl[.]test[.]$
    answer "{{ .Name }} 60 IN A {{ if .Group.x }}?{{ else }}10.0.0.{{ index .Match 2 }}{{ end }}"
    fallthrough
}
template IN ANY multi.test {
    answer "{{ .Name }} 60 IN A 10.0.0.1"
    answer "{{ .Name }} 60 IN AAAA ::1"
    answer "{{ .Name }} {{ printf \"%d\" 90 }} IN TXT \"{{ .Zone }} {{ .Class }} {{ .Type }} {{ .Remote }}\""
    answer "{{ .Name }} 90 IN TXT \"{{ .Question.Name }} {{ len .Match }}\""
    additional "x.{{ .Zone }} 1 IN A 1.1.1.1"
    authority "{{ .Zone }} 1 IN NS ns.{{ .Zone }}"
}
template IN A bad.test {
    match ^empty\.
    answer "{{ .Nope }}"
}
template IN A bad.test {
    match ^noparse\.
    answer "not a record at all"
    fallthrough
}
template IN A bad.test {
    match ^index\.
    answer "{{ .Name }} 60 IN A {{ index .Match 7 }}"
}
template ANY ANY nx.test {
    rcode NXDOMAIN
    authority "{{ .Zone }} 60 IN SOA ns.{{ .Zone }} h.{{ .Zone }} 1 60 60 60 60"
}
template ANY ANY nxbare.test {
    rcode NXDOMAIN
}
template ANY ANY sf.test {
    rcode SERVFAIL
}
template ANY ANY ref.test {
    rcode REFUSED
}
template ANY ANY ni.test {
    rcode NOTIMP
    answer "{{ .Name }} 60 IN A 10.0.0.1"
}
template ANY ANY ede.test {
    rcode NXDOMAIN
    ederror 15 "blocked {{ .Name }}"
}
template ANY ANY ede2.test {
    ederror 21
    answer "{{ .Name }} 60 IN A 10.0.0.1"
}
template CH TXT ch.test {
    answer "{{ .Name }} 0 CH TXT \"ch\""
}
template IN ANY cn.test {
    match ^[a-z0-9]+\.
    answer "{{ .Name }} 60 IN CNAME {{ index .Match 0 }}up.test."
}
template IN MX UPPER.Test {
    answer "{{ .Name }} 60 IN MX 10 mail.{{ .Zone }}"
}
template IN ANY t.test {
    answer "{{ .Name }} 60 IN TYPE65280 \\# 2 0102"
}
template IN PTR 10.in-addr.arpa {
    match ^(?P<d>[0-9]*)[.](?P<c>[0-9]*)[.](?P<b>[0-9]*)[.]10[.]in-addr[.]arpa[.]$
    answer "{{ .Name }} 60 IN PTR ip-10-{{ .Group.b }}-{{ .Group.c }}-{{ .Group.d }}.example.com."
}
"""
TEMPLATE_NAMES_TEXT = (
    "ip-1-2-3-4.tpl.test. IP-1-2-3-4.TPL.test. x.ip-1-2-3-4.tpl.test. a.v7.tpl.test. v9.tpl.test. v999.tpl.test. "
    "other.tpl.test. tpl.test. www.multi.test. multi.test. empty.bad.test. noparse.bad.test. index.bad.test. "
    "x.bad.test. a.nx.test. nx.test. a.nxbare.test. sf.test. ref.test. x.ni.test. x.ede.test. x.ede2.test. ch.test. "
    "a.cn.test. cname.cn.test. nx.cn.test. chain3.cn.test. nodata.cn.test. servfail.cn.test. x.upper.test. "
    "x.UPPER.test. t.test. 4.3.2.10.in-addr.arpa. 3.2.10.in-addr.arpa. outside.up.test."
)
TEMPLATE_NAMES = TEMPLATE_NAMES_TEXT.split()
TEMPLATE_ASKS = (
    *every(TEMPLATE_NAMES, ("A", "AAAA", "TXT", "MX", "PTR", "CNAME", "HTTPS", "TYPE65280", "ANY", "SOA")),
    *varied(TEMPLATE_NAMES),
    ask("ch.test.", "TXT", klass="CH"),
    ask("x.nx.test.", "TXT", klass="CH"),
    ask("x.nx.test.", "TXT", klass="HS"),
)

CACHE_OPTIONS = {
    "plain": "cache",
    "30": "cache 30",
    "short": "cache {\nsuccess 1000 4 2\ndenial 1000 3 1\nservfail 2s\n}",
    "keepttl": "cache 20 {\nkeepttl\n}",
    "stale": "cache {\nsuccess 1000 2 1\ndenial 1000 2 1\nserve_stale 10s\nservfail 1s\n}",
    "verify": "cache {\nsuccess 1000 2 1\ndenial 1000 2 1\nserve_stale 10s verify\n}",
    "verify-in-time": "cache {\nsuccess 1000 2 1\nserve_stale 10s verify 500ms 7s\n}",
    "prefetch": "cache {\nsuccess 1000 5 3\nprefetch 2 1m 50%\n}",
    "disable": "cache {\ndisable success up.test\ndisable denial c1.up.test\n}",
    "zone": "cache 30 c1.up.test",
    "no-least-ttl": "cache {\nsuccess 1000 10 0\ndenial 1000 10 0\nservfail 0\n}",
    "servfail": "cache {\nservfail 5m\n}",
}
CACHED_TEXT = (
    "ttl1 ttl2 ttl6 ttl7 ttl30 ttl3600 ttl86400 ttl0 count nx nodata servfail nxnosoa empty refused cname dangling "
    "chain3 trunc big noaa ad opt notimp wrongq"
)
CACHED_ASKS = (
    *every([f"{word}.up.test." for word in CACHED_TEXT.split()], ("A",)),
    *every([f"{word}.up.test." for word in ("nodata", "nx", "cname", "chain3")], ("AAAA",)),
    *(ask(f"count.c{number}.up.test.", edns=1232) for number in range(3)),
    ask("ad.up.test.", ad=True),
    ask("ad.up.test.", edns=1232, do=True),
    ask("a.up.test.", cd=True),
    ask("opt.up.test.", edns=1232),
    ask("count.up.test.", rd=False),
    ask("count.up.test.", tcp=True),
)

FAULTS_TEXT = (
    "www slow trunc big garbled wrongid wrongname wrongtype noquestion wrongport notreply lieid liename lietype "
    "lieport twice late reset close servfail refused nx nodata nosoa-nx chain opt keepalive many drop trunc-slow "
    "trunc-reset big-reset trunc-drop"
)
FAULT_ASKS = tuple(
    ask(f"{word}.{'tcp' if tcp else 'udp'}{len(options)}.test.", tcp=tcp, **options)
    for word in FAULTS_TEXT.split()
    for tcp in (False, True)
    for options in ({}, {"edns": 1232}, {"edns": 4096, "do": True})
)
FORWARD_OPTIONS = {
    "plain": "",
    "prefer-udp": "prefer_udp",
    "force-tcp": "force_tcp",
    "impatient": "read_timeout 200ms\nmax_connect_attempts 1",
    "failover": "failover SERVFAIL REFUSED NXDOMAIN",
}

LOCAL_NAMES_TEXT = (
    "localhost. x.localhost. LOCALHOST. localhost.x. localhost.a.up.test. 1.0.0.127.in-addr.arpa. "
    "0.0.127.in-addr.arpa. 127.in-addr.arpa. 2.0.0.127.in-addr.arpa. 0.in-addr.arpa. 255.in-addr.arpa. "
    "1.255.in-addr.arpa. a.localhost.b."
)
CHAOS_NAMES = ("version.bind.", "version.server.", "authors.bind.", "VERSION.bind.", "x.version.bind.", "other.bind.")
ACL = """
acl up.test {
    filter type TXT MX
    block type SRV net 127.0.0.0/8
    allow type A
    drop type HTTPS
    block type AAAA net 10.0.0.0/8
    filter type PTR net *
}
acl a.up.test {
    block
}
"""
HEADER = "header {\nresponse set ra aa\nresponse clear rd\nquery set rd\n}"
SMALL: dict[str, tuple[str, tuple[Form, ...]]] = {
    "bufsize": ("bufsize 600", varied(UPSTREAM_NAMES)),
    "minimal": ("minimal", UPSTREAM_ASKS),
    "any": ("any", (*every(UPSTREAM_NAMES), *varied(["a.up.test."], "ANY"))),
    "loadbalance": ("loadbalance", every(UPSTREAM_NAMES)),
    "nsid": ("nsid me", varied(UPSTREAM_NAMES)),
    "header": (HEADER, UPSTREAM_ASKS),
    "dns64": ("dns64 {\nprefix 2001:db8:64::/96\nallow_ipv4\n}", varied(UPSTREAM_NAMES, "AAAA")),
    "dns64-all": ("dns64 {\ntranslate_all\nallow_ipv4\n}", every(UPSTREAM_NAMES, ("AAAA", "A"))),
    "dns64-ipv6-clients": ("dns64 2001:db8:1::/48", every(UPSTREAM_NAMES, ("AAAA",))),
    "acl": (
        ACL,
        (
            *every(UPSTREAM_NAMES, [rtype for rtype in TYPES if rtype != "HTTPS"]),
            *varied(UPSTREAM_NAMES),
            ask("a.up.test.", "HTTPS"),  # nothing comes back, for which one is enough to wait
        ),
    ),
    "local": ("local", every(LOCAL_NAMES_TEXT.split())),
    "chaos": (
        'chaos V-1 "A one" Two',
        tuple(
            ask(name, rtype, klass=klass)
            for name in CHAOS_NAMES
            for rtype in ("TXT", "A", "ANY")
            for klass in ("CH", "IN", "HS")
        ),
    ),
}


def _zones() -> Iterator[Scenario]:
    kinds = {"labels": ("a", "b", "c", "d"), "types": ("A", "AAAA", "TXT", "MX", "CNAME")}
    made = [RandomZone(f"r{seed}.test.", Random(seed), **kinds) for seed in range(16)]
    text_of = {zone.origin.rstrip("."): zone.text() for zone in made}
    files = "".join(f"file FILES/{name} {name}\n" for name in text_of)
    asks = every([name for zone in made for name in zone.questions(30)], ("A", "TXT", "CNAME", "MX", "SOA"))
    yield Scenario("file-random", files + FORWARD, asks, files=text_of)
    names_text = (
        "@ www web mail ext long1 dangling nothere a.web wild foo.wild a.b.wild host.wild *.wild x.cn x.cnout ent "
        "deep.ent no.ent x.deep.ent sub x.sub ns.sub hidden.sub ds x.ds into dn x.dn y.x.dn no.dn a.dnout target txt "
        "caa unk paren"
    )
    names = [f"{name}.example.org.".removeprefix("@.") for name in names_text.split()]
    asks = (*every(names, (*TYPES, "DS", "DNAME", "CAA", "TYPE65534")), *varied(names))
    yield Scenario("file", f"file FILES/zone example.org\n{FORWARD}", asks, files={"zone": ZONE.read_text()})


def _random_rewrites() -> Iterator[Scenario]:
    names = [name for name in REWRITE_NAMES if name.islower() and name != "."]
    asks = (*every(names, ("A", "AAAA", "MX", "SRV", "TXT", "PTR")), *varied(names[::4]))
    for seed in range(20):
        random = Random(seed)
        rules = [
            f"rewrite {random.choice(('', 'continue ', 'stop '))}{random.choice(RANDOM_RULES)}"
            for _ in range(random.randrange(2, 6))
        ]
        cache = ["cache 30"] if random.random() < 0.3 else []
        yield Scenario(f"rewrite-random-{seed}", "\n".join([*cache, *rules, FORWARD]), asks, ages=True)


def _all() -> Iterator[Scenario]:
    for name, options in HOSTS_OPTIONS.items():
        for kind, zones in (("", ""), ("-zones", "test 10.in-addr.arpa")):
            block = f"hosts FILES/hosts {zones} {{\nreload 0\n{options}\n}}\n{FORWARD}"
            yield Scenario(f"hosts-{name}{kind}", block, HOSTS_ASKS, files={"hosts": HOSTS})
    for name, (directive, asks) in SMALL.items():
        yield Scenario(name, f"{directive}\n{FORWARD}", asks, at_once=16)
    for name, rules in REWRITE_RULES.items():
        lines = "\n".join(f"rewrite {rule}" for rule in rules)
        yield Scenario(f"rewrite-{name}", f"{lines}\n{FORWARD}", REWRITE_ASKS)
    yield from _random_rewrites()
    yield Scenario("template", f"{TEMPLATES}\n{FORWARD}", TEMPLATE_ASKS)
    yield Scenario("template-cached", f"cache 30\n{TEMPLATES}\n{FORWARD}", 2 * TEMPLATE_ASKS, at_once=1, ages=True)
    yield from _zones()
    for name, options in FORWARD_OPTIONS.items():
        block = f"forward . UP {{\n{options}\nmax_fails 0\n}}"
        yield Scenario(f"faults-{name}", block, FAULT_ASKS, upstream=Upstream, at_once=66)
        yield Scenario(f"forward-{name}", f"forward . UP {{\n{options}\n}}", UPSTREAM_ASKS, at_once=16)
    yield Scenario(
        "forward-next",
        "forward . UP {\nnext NXDOMAIN REFUSED SERVFAIL\nnext_on_nodata\n}\nforward . UP",
        UPSTREAM_ASKS,
        at_once=16,
    )
    for name, directive in CACHE_OPTIONS.items():
        asks = (*CACHED_ASKS, 1.5, *CACHED_ASKS, 3.5, *CACHED_ASKS)
        yield Scenario(f"cache-{name}", f"{directive}\n{FORWARD}", asks, at_once=1, ages=True)


SCENARIOS = {scenario.name: scenario for scenario in _all()}
