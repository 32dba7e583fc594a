"""Where fastmon and the corpus rightly differ, and where a capture's reading ends with an error."""

from __future__ import annotations

from typing import NamedTuple

from host_model import Traffic

from fastmon.errors import CaptureError, TruncatedCaptureError, UnsupportedLinkTypeError

FUZZER = "malformed/pcapplusplus__clusterfuzz-testcase-minimized-FuzzTarget-"


class Difference(NamedTuple):
    """Why a capture's hosts differ from the corpus's; `hosts`: those that do, with fastmon's numbers, None for no such host."""

    reason: str
    hosts: dict[str, Traffic | None]


def _received(packets: int, n_bytes: int) -> Traffic:
    return Traffic(packets_in=packets, bytes_in=n_bytes)


def _sent(packets: int, n_bytes: int) -> Traffic:
    return Traffic(packets_out=packets, bytes_out=n_bytes)


_WIRE_LENGTH = "the record's wire length is over 2**31 - 1, at which tshark's frame.len ends"
_CUT_ADDRESSES = "the frame is cut before the end of its addresses, so that it has no hosts; tshark shows the source all the same"

DIFFERENCES: dict[str, Difference] = {
    "formats/zeek__trunc__mpls-6in6-broken.pcap.gz": Difference(
        "fuzzed IPv4 headers whose addresses were captured, and count: tshark gives up on frames 674, 775 and 1735, whose total "
        "length is below the header's, on the options of 417 and 427, which are cut, before it shows their destinations, and on "
        "1088, which is shorter than its MPLS payload should be",
        {
            "0.0.0.0": Traffic(4, 489, 7, 827),
            "0.53.0.0": _received(2, 250),
            "0.71.103.97": _sent(1, 109),
            "99.116.0.128": _received(1, 109),
            "143.9.0.0": _sent(1, 97),
            "0.98.0.237": _received(1, 97),
            "101.99.116.105": _sent(1, 98),
            "41.0.255.0": _received(1, 98),
            "32.0.8.99": _sent(1, 108),
        },
    ),
    "links/suricata__detect-ipopts__input.pcap": Difference(
        "frames 2 and 7 have source-route options, of which tshark shows the last hop as ip.dst; the header's destination counts",
        {"13.14.15.16": _received(8, 380), "5.6.7.8": None, "8.8.8.8": None},
    ),
    "malformed/ndpi__fuzz-2006-06-26-2594.pcap": Difference(
        "frame 669 has EtherType IPv4 and version 6: decoded as IPv6, as tshark does, whose empty ip.src the corpus has left out",
        {"8011:4af7:c0a8:102:c0a8:101:b0b:35": _sent(1, 86), "34:4489:e530:100:1::": _received(1, 86)},
    ),
    "malformed/nfstream__fuzz-2021-06-07-c6c72a0a56.pcap": Difference(
        _WIRE_LENGTH, {"102.110.128.32": _sent(1, 4093509168), "0.6.255.0": _received(1, 4093509168)}
    ),
    f"{FUZZER}5755755617189888.pcap": Difference(
        _WIRE_LENGTH, {"93.49.246.255": _sent(1, 3599899676), "250.255.255.0": _received(1, 3599899676)}
    ),
    f"{FUZZER}6604968558198784.pcap": Difference(
        _WIRE_LENGTH, {"32.32.32.32": _sent(1, 4280295456), "255.32.32.32": _received(1, 4280295456)}
    ),
    "malformed/pcapflowlab__pbb__14_pbb_truncated_inner_ipv4.pcap": Difference(_CUT_ADDRESSES, {"192.0.2.60": None}),
    "malformed/tcpdump__ipv6_39_byte_header.pcap": Difference(_CUT_ADDRESSES, {"2605:bc80:3010:104::8cd3:9ce": None}),
    "truncated/zeek__trunc__ip6-trunc.pcap": Difference(_CUT_ADDRESSES, {"2001:4f8:4:7:2e0:81ff:fe52:ffff": None}),
}


class Damage(NamedTuple):
    """The error with which reading a capture ends, and the frames accounted before it."""

    error: type[CaptureError]
    text: str
    n_frames: int = 0


def _unsupported(link_type: str) -> Damage:
    return Damage(UnsupportedLinkTypeError, f"link type {link_type} is not supported")


_TOO_LONG = "at most 262144 are allowed"

DAMAGES: dict[str, Damage] = {
    "formats/gopacket__pcapgo__tests__be__test901.pcapng": Damage(
        CaptureError, "format version 2.0 is not supported (after 1 records)", 1
    ),
    "formats/tcpdump__unsupported-link-type-dbus.pcap": _unsupported("DBUS (231)"),
    "links/libpcap__filter__isup_load_generator.pcap": _unsupported("MTP2 (140)"),
    "links/libpcap__filter__mstp_20140225214217.pcap": _unsupported("BACNET_MS_TP (165)"),
    "links/tcpdump__vsock-1.pcapng": _unsupported("VSOCK (271)"),
    "malformed/dpkt__truncated_dns_2.pcap": Damage(
        TruncatedCaptureError, "the file ends in the middle of a record, after 1 records", 1
    ),
    "malformed/libpcap__linktype-reserved-field-not-zero.pcap": Damage(
        CaptureError, "reserved bits of the link-type field 0x00300000 are set"
    ),
    "malformed/libpcap__pcap-invalid-version-1.pcap": Damage(CaptureError, "format version 1.4 is not supported"),
    "malformed/libpcap__pcapng-invalid-vers-1.pcapng": Damage(
        CaptureError, "format version 0.1 is not supported (after 0 records)"
    ),
    f"{FUZZER}5165538295939072.pcap": Damage(
        CaptureError, f"a record claims 16095754 captured bytes; {_TOO_LONG} (after 1 records)", 1
    ),
    f"{FUZZER}5752969003008000.pcap": Damage(CaptureError, "reserved bits of the link-type field 0x20202020 are set"),
    f"{FUZZER}5755755617189888.pcap": Damage(
        CaptureError, f"a record claims 16844826 captured bytes; {_TOO_LONG} (after 2 records)", 2
    ),
    "malformed/pcapplusplus__crash-81dba690a3f67ee41a41390a625db732fa1413a1.pcap": Damage(
        TruncatedCaptureError, "the file ends in the middle of a record, after 11 records", 11
    ),
    "malformed/pcapplusplus__crash-pcapng-epb-unbounded-length.pcapng": Damage(
        CaptureError, "a record claims 65536 captured bytes; its block holds 0 (after 0 records)"
    ),
    "malformed/pcapplusplus__radiuslayer.pcap": Damage(
        CaptureError, f"a record claims 4261478435 captured bytes; {_TOO_LONG} (after 5 records)", 5
    ),
}
