# SPDX-License-Identifier: Apache-2.0
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import pytest

from clusterdns.dns.masterfile import parse_record, record_text
from clusterdns.dns.records.table import RECORDS, decode_data

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
    "DNSKEY": ["257 3 8 AwEAAag="],
    "TLSA": ["3 1 1 D2ABDE240D7CD3EE6B4B28C54DF034B97983A1D16E8A410E4561CB106618E971"],
    "SMIMEA": ["3 1 1 D2ABDE240D7CD3EE6B4B28C54DF034B97983A1D16E8A410E4561CB106618E971"],
    "CDS": ["60485 5 1 2BB183AF5F22588179A53B0A98631FAD1A292118"],
    "CDNSKEY": ["257 3 8 AwEAAag="],
    "OPENPGPKEY": ["AwEAAag="],
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


@pytest.mark.parametrize(("rtype", "text"), [case for case in CASES if case[0] not in ("TXT", "SPF")])
def test_every_cut_of_the_data_has_a_text_that_leads_back_to_it(rtype, text):
    record = parse_record(f"a. {rtype} {text}")
    for length in range(len(record.data)):
        data = record.data[:length]
        written = decode_data(record.rtype, data)
        if written.startswith("\\#"):
            assert parse_record(f"a. TYPE65280 {written}").data == data
        elif length:  # hexadecimal, base 64 or text at the end of the data may be short, but not absent
            assert parse_record(f"a. {rtype} {written}").data == data
