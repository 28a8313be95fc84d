# SPDX-License-Identifier: Apache-2.0
"""Reading ``rewrite``: CoreDNS's error texts, and what is warned of."""

import pytest
from support.directives import check

from clusterdns.plugins.rewrite.options import parse_rcode, parse_ttl_range


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("", "no rule type specified for rewrite"),
        ("{\n}", "no rule type specified for rewrite"),
        ("continue", "continue rule must begin with a rule type"),
        ("stop {\n}", "stop rule must begin with a rule type"),
        ("nope a b", 'invalid rule type "nope"'),
        ("answer name a b", "response rewrites must begin with a name rule"),
        ("class IN", "class rules must have exactly two arguments"),
        ("class IN NOPE", 'invalid class "NOPE"'),
        ("type A AAAA MX", "type rules must have exactly two arguments"),
        ("type nope A", 'invalid type "NOPE"'),
        ("name a", "too few arguments for a name rule"),
        (
            "name glob a b",
            "name rule supports only exact, prefix, suffix, substring, and regex name matching, received: glob",
        ),
        ("name regex (a b", "invalid regex matching pattern: (a"),
        (
            "name regex a {0}.{1}",
            "the rewrite regex pattern ({0}.{1}) uses more subexpressions than its corresponding matching regex "
            "pattern (a)",
        ),
        (f"name regex {'a' * 10001} b", "regex pattern too long: 10001 > 10000"),
        ("name exact a b answer", "invalid arguments for exact rule"),
        ("name exact a b nope auto", "exceeded the number of arguments for a non-answer rule argument for exact rule"),
        ("name exact a b answer auto answer", "type missing for answer rule for exact rule"),
        ("name suffix a b answer nope", 'invalid type "nope" for answer rule for suffix rule'),
        ("name suffix a b answer name x", "name answer rule for suffix rule: 2 arguments required"),
        ("name suffix a b answer value (x y", "value answer rule for suffix rule: invalid regex matching pattern: (x"),
        (
            "name suffix a b answer auto name x y",
            "auto name answer rule cannot be combined with explicit name anwer rules",
        ),
        ("ttl a", "too few (1) arguments for a ttl rule"),
        ("ttl a 20-10", "invalid TTL '20-10' for a ttl rule"),
        ("ttl a -", "invalid TTL '-' for a ttl rule"),
        ("ttl glob a 5", "ttl rule supports only exact, prefix, suffix, substring, and regex name matching"),
        ("ttl regex ( 5", "invalid regex pattern in a ttl rule: ("),
        (f"ttl regex {'a' * 10001} 5", "regex pattern too long in a ttl rule: 10001 > 10000"),
        ("rcode a 1", "too few (2) arguments for a rcode rule"),
        ("rcode a nope NOERROR", "invalid matching RCODE 'nope' for a rcode rule"),
        ("rcode a NOERROR 24", "invalid replacement RCODE '24' for a rcode rule"),
        ("rcode glob a 1 2", "rcode rule supports only exact, prefix, suffix, substring, and regex name matching"),
        ("rcode regex ( 1 2", "invalid regex pattern in a rcode rule: ("),
        ("cname a", "too few (1) arguments for a cname rule"),
        ("cname glob a b", "unknown cname rewrite type: glob"),
        ("cname regex ( b", "invalid cname rewrite regex pattern: error parsing regexp: missing closing ): `(`"),
        ("edns0 local", "too few arguments for an EDNS0 rule"),
        ("edns0 local nope 1 2", 'invalid action: "nope"'),
        ("edns0 nope set", 'invalid rule type "nope"'),
        ("edns0 local set 1", "EDNS0 local rules require three or four args"),
        ("edns0 local unset 1 2", "local unset action requires exactly two arguments"),
        ("edns0 nsid unset revert", "nsid unset action requires exactly one argument"),
        ("edns0 subnet unset 1 2", "subnet unset action requires exactly one argument"),
        ("edns0 nsid set 1", "EDNS0 NSID rules can accept no more than one arg"),
        ("edns0 subnet set 1", "EDNS0 subnet rules require three or four args"),
        ("edns0 subnet set 33 1", "invalid IPv4 bit mask length 33"),
        ("edns0 subnet set 1 129", "invalid IPv6 bit mask length 129"),
        ("edns0 local set x y", 'strconv.ParseUint: parsing "x": invalid syntax'),
        ("edns0 local set 0x10000 y", 'strconv.ParseUint: parsing "0x10000": value out of range'),
        ("edns0 local set 1 0xabc", "encoding/hex: odd length hex string"),
        ("edns0 local set 1 0xzz", "encoding/hex: invalid byte: U+007A 'z'"),
        ("edns0 local set 1 {nope}", 'unsupported variable name "{nope}"'),
    ],
)
def test_what_cannot_be_read(rule, message):
    (error,) = check(f"rewrite {rule}").errors
    assert error.coredns_text() == f"plugin/rewrite: {message}"
    assert error.line >= 2


@pytest.mark.parametrize("text", ["name a b {\nanswer auto\n}", "{\nname a {\nb\n}\n}"])
def test_braces_where_none_belong(text):
    (error,) = check(f"rewrite {text}").errors
    assert "Unexpected token '{'" in str(error)


@pytest.mark.parametrize(
    ("rules", "says"),
    [
        ("rewrite name prefix pre- a.", "no name begins like that"),
        ("rewrite name regex (.*)x {2}.test", "{2} stays as it is"),
        ("rewrite name a b..c", "not a name"),
        ("rewrite cname a b\nrewrite type A AAAA", "never reached: the one of line 2"),
        ("rewrite edns0 nsid set\nrewrite type A AAAA", "never reached: the one of line 2"),
        ("rewrite edns0 local unset 1\nrewrite type A AAAA", "never reached: the one of line 2"),
    ],
)
def test_what_surely_is_not_meant(rules, says):
    (warning,) = check(f"{rules}\nwhoami").warnings
    assert says in str(warning)


@pytest.mark.parametrize(
    "rules",
    [
        "rewrite continue cname a b\nrewrite type A AAAA",
        "rewrite edns0 local set 1 {a/b}\nrewrite type A AAAA",
        "rewrite edns0 local replace 1 x\nrewrite type A AAAA",
        "rewrite name prefix pre a answer auto name x y\nrewrite type A AAAA".replace("auto name", "value"),
        "rewrite edns0 subnet set 0x18 56 revert",
    ],
)
def test_nothing_to_say(rules):
    verdict = check(f"{rules}\nwhoami")
    assert (verdict.errors, verdict.warnings) == ((), ())


@pytest.mark.parametrize(
    ("text", "bounds"),
    [
        ("15", (15, 15)), ("10-20", (10, 20)), ("10-", (10, 2147483647)), ("-20", (0, 20)), ("5-5", (5, 5)),
        ("-", None), ("", None), ("a", None), ("1-2-3", None), ("4294967296", None), ("6-5", None), ("--1", None),
    ],
)  # fmt: skip
def test_ttl_ranges(text, bounds):
    assert parse_ttl_range(text) == bounds


@pytest.mark.parametrize(
    ("text", "number"),
    [("0", 0), ("23", 23), ("24", None), ("servfail", 2), ("BADSIG", 16), ("NOTIMPL", 4), ("x", None)],
)
def test_rcodes(text, number):
    assert parse_rcode(text) == number
