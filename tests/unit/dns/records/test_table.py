# SPDX-License-Identifier: Apache-2.0
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import pytest

from clusterdns.dns.masterfile import parse_record, record_text
from clusterdns.dns.records.table import RECORDS, decode_data
from clusterdns.errors import WireError

VECTORS = {
    "A": ["192.0.2.1"],
    "NS": ["ns.example."],
    "CNAME": ["Target.Example."],
    "SOA": ["ns.dns.cluster.local. hostmaster.cluster.local. 1700000000 7200 1800 86400 30"],
    "PTR": ["host.example."],
    "HINFO": ['"ANY obsoleted" "See RFC 8482"'],
    "MX": ["10 mail.example.", "0 ."],
    "TXT": ['"one" "two words"', r'"quote \" backslash \\ byte \255"', '""'],
    "RP": ["admin.example. text.example."],
    "AFSDB": ["1 afs.example."],
    "AAAA": ["2001:db8::1", "::", "::ffff:192.0.2.1"],
    "SRV": ["0 50 8080 pod.example."],
    "NAPTR": ['100 10 "S" "SIP+D2U" "!^.*$!sip:a@example!" _sip._udp.example.'],
    "KX": ["5 kx.example."],
    "DNAME": ["other.example."],
    "DS": ["60485 5 1 2BB183AF5F22588179A53B0A98631FAD1A292118"],
    "SSHFP": ["2 1 123456789ABCDEF67890123456789ABCDEF67890"],
    "RRSIG": ["A 8 3 86400 20300101000000 20260101000000 2642 example. oJB1W6WNGv+ldvQ3WDG0MQkg5IEhjRip8WTrPYGv07h1"],
    "NSEC": ["host.example. A MX RRSIG NSEC TYPE1234", "."],
    "DNSKEY": ["257 3 8 AwEAAag="],
    "DHCID": ["AAIBY2/AuCccgoJbsaxcQc9TUapptP69lOjxfNuVAA2kjEA="],
    "NSEC3": ["1 1 12 AABBCCDD 2T7B4G4VSA5SMI47K61MV5BV1A22BOJR MX DNSKEY", "1 0 0 - 2T7B4G4VSA5SMI47K61MV5BV1A22BOJR"],
    "NSEC3PARAM": ["1 0 12 AABBCCDD", "1 0 0 -"],
    "TLSA": ["3 1 1 D2ABDE240D7CD3EE6B4B28C54DF034B97983A1D16E8A410E4561CB106618E971"],
    "SMIMEA": ["3 1 1 D2ABDE240D7CD3EE6B4B28C54DF034B97983A1D16E8A410E4561CB106618E971"],
    "CDS": ["60485 5 1 2BB183AF5F22588179A53B0A98631FAD1A292118"],
    "CDNSKEY": ["257 3 8 AwEAAag="],
    "OPENPGPKEY": ["AwEAAag="],
    "CSYNC": ["66 3 A NS AAAA"],
    "ZONEMD": [
        "2026010101 1 1 "
        + "C68090D90A7AED716BC459F9340E3D7C1370D4D24B7E2FC3A1DDC0B9A87153B9A9713B3C9AE5CC27777F98B8E730044C"
    ],
    "SVCB": [
        "1 .",
        "0 alias.example.",
        '16 svc.example. mandatory="alpn,port" alpn="h2,h3" no-default-alpn port="8443"',
        r'1 . alpn="f\\\\oo\\,bar,h2"',
        r'1 . ipv4hint="192.0.2.1,192.0.2.2" ech="AAT+DQAA" ipv6hint="2001:db8::1" key667="hello\210qoo" key668',
    ],
    "HTTPS": ['1 . alpn="h3"'],
    "SPF": ['"v=spf1 -all"'],
    "URI": ['10 1 "https://example/"'],
    "CAA": ['0 issue "ca.example; x=1"', '128 iodef "mailto:a@example"'],
}
CASES = [(rtype, text) for rtype, texts in VECTORS.items() for text in texts]


def test_every_listed_type_has_a_vector():
    assert VECTORS.keys() == RECORDS.keys()


@pytest.mark.parametrize(("rtype", "text"), CASES)
def test_text_to_wire_and_back_gives_the_same_text(rtype, text):
    record = parse_record(f"a. 5 IN {rtype} {text}")
    assert record_text(record) == f"a.\t5\tIN\t{rtype}\t{text}"


@pytest.mark.parametrize(("rtype", "text"), CASES)
def test_wire_data_is_what_dnspython_makes(rtype, text):
    theirs = dns.rdata.from_text(dns.rdataclass.IN, dns.rdatatype.from_text(rtype), text)
    assert parse_record(f"a. {rtype} {text}").data == theirs.to_wire()


@pytest.mark.parametrize(
    ("rtype", "text"), [case for case in CASES if case[0] not in ("TXT", "SPF", "NSEC", "NSEC3", "CSYNC")]
)
def test_every_cut_of_the_data_has_a_text_that_leads_back_to_it(rtype, text):
    record = parse_record(f"a. {rtype} {text}")
    for length in range(len(record.data)):
        data = record.data[:length]
        written = decode_data(record.rtype, data)
        if written.startswith("\\#"):
            assert parse_record(f"a. TYPE65280 {written}").data == data
        elif length:  # hexadecimal, base 64 or text at the end of the data may be short, but not absent
            assert parse_record(f"a. {rtype} {written}").data == data


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("RRSIG NOPE 8 3 5 20300101000000 20260101000000 2642 e. AA==", "not a record type: NOPE"),
        ("RRSIG A 8 3 5 20301301000000 20260101000000 2642 e. AA==", "expiration is not a time: 20301301000000"),
        ("RRSIG A 8 3 5 20300101000000 x 2642 e. AA==", "inception is not a time: x"),
        ("RRSIG A 8 3 5 21070101000000 0 2642 e. AA==", "expiration is out of range: 21070101000000"),
        ("NSEC a. NOPE", "not a record type: NOPE"),
        ("NSEC3 1 0 0 xx AAAA A", "not hexadecimal: xx"),
        ("NSEC3 1 0 0 - !!!! A", "not base 32: !!!!"),
        ("SVCB 1 . nope=1", "not a service parameter: nope"),
        ("SVCB 1 . port=1 port=2", "port is there twice"),
        ("SVCB 1 . port=65536", "not a value of port: 65536"),
        ("SVCB 1 . alpn", "alpn needs a value"),
        ("SVCB 1 . alpn=a,,b", "not a value of alpn: a,,b"),
        ("SVCB 1 . no-default-alpn=x", "no-default-alpn has no value"),
        ("SVCB 1 . ipv4hint=::1", "not a value of ipv4hint: ::1"),
        ("SVCB 1 . mandatory=port", "mandatory names parameters that are not there"),
    ],
)
def test_faults_of_signatures_and_services(data, reason):
    with pytest.raises(WireError) as caught:
        parse_record(f"a. {data}")
    assert str(caught.value).partition("record: ")[2] == reason


@pytest.mark.parametrize("data", ["00 0002 4001 0001", "00 0000", "00 0001 00", "00 0121" + "00" * 32 + "01"])
def test_types_that_are_written_in_another_way_stay_as_they_are(data):
    octets = bytes.fromhex(data)
    assert decode_data(47, octets).startswith("\\#")
