"""The native matchers for Python: made from the table of applications, given to accountants, and asked directly by tests.

What it does not do: look at an accountant's payloads itself (`native/engine/inspection.pxd` does).
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from fastmon.native.arguments cimport bytes_of, copy_table
from fastmon.native.classify.apps cimport (
    CERTIFICATE_FOLLOWS, DHCP_FOLLOWS, DHCPV6_FOLLOWS, DNS_FOLLOWS, DNS_STREAM_FOLLOWS, HELLO_FOLLOWS, N_FOLLOWERS,
    N_NATIVE_APPS, STUN_FOLLOWS,
)
from fastmon.native.classify.dispatch cimport (
    HINTS, NOTHING, OUTRIGHT, Candidate, decide_by_payload, go_on_with_follower, payload_may_announce,
)
from fastmon.native.classify.hellos cimport Hello, hellos_free, hellos_new
from fastmon.native.classify.look cimport ASK, CERTAIN, Look, Matcher
from fastmon.native.classify.matchers cimport (
    databases, directory, files, industrial, iot, leases, mail, media, names, netbios, peers, quic, remote, routing, tls, vpn,
    web,
)
from fastmon.native.classify.memos cimport Memo, memos_free, memos_new
from fastmon.native.classify.notes cimport Notes, notes_free, notes_init, take_names
from fastmon.native.classify.suffixes cimport MAX_SUFFIX, MAX_SUFFIXES, add_suffix
from fastmon.native.decode.entry cimport MAX_PAYLOAD
from fastmon.native.decode.upper cimport TCP, UDP
from fastmon.native.wire cimport v6_key

APPS = (
    "unknown", "amqp", "bacnet", "bgp", "bittorrent", "cassandra", "coap", "dcerpc", "dhcp", "dhcpv6", "diameter", "dnp3", "dns",
    "doh", "doq", "dot", "dtls", "ethernet-ip", "ftp", "ftp-data", "git", "gtp", "h323", "http", "https", "iec104", "imap",
    "ipsec", "irc", "kerberos", "l2tp", "ldap", "ldp", "llmnr", "mdns", "memcached", "modbus", "mongodb", "mqtt", "mssql",
    "mysql", "netbios", "nfs", "nntp", "ntp", "opcua", "openvpn", "oracle", "pop3", "postgresql", "pptp", "quic", "radius", "rdp",
    "redis", "rpc", "rsync", "rtcp", "rtp", "rtsp", "s7", "sip", "smb", "smtp", "snmp", "socks", "ssdp", "ssh", "stun", "syslog",
    "telnet", "tftp", "tls", "vnc", "vxlan", "wireguard", "xmpp",
)
"""The names of `apps.App`, in its order."""

SOURCES = ("dhcp", "dhcpv6", "mdns", "netbios", "llmnr", "ssdp", "sni", "http", "quic", "dns")
"""The names of `notes.Source`, in its order."""

ANNOUNCING = {
    "mail.reply": OUTRIGHT, "mail.command": OUTRIGHT, "media.sip": HINTS, "web.rtsp": HINTS, "files.tftp": HINTS,
}
"""Matchers whose Python twins may announce other conversations, and how."""


cdef class Twins:
    """The native twins, by the names of their matchers."""

    cdef dict places
    cdef Matcher[128] functions

    def __cinit__(self):
        self.places = {}

    cdef int add(self, str name, Matcher function) except -1:
        self.functions[len(self.places)] = function
        self.places[name] = len(self.places)
        return 0

    cdef Matcher find(self, str name) noexcept:
        place = self.places.get(name)
        return NULL if place is None else self.functions[<int>place]


cdef Twins TWINS = Twins()
TWINS.add("databases.cassandra", databases.cassandra)
TWINS.add("databases.memcached", databases.memcached)
TWINS.add("databases.mongodb", databases.mongodb)
TWINS.add("databases.mssql", databases.mssql)
TWINS.add("databases.mysql", databases.mysql)
TWINS.add("databases.oracle", databases.oracle)
TWINS.add("databases.postgresql", databases.postgresql)
TWINS.add("databases.redis", databases.redis)
TWINS.add("directory.diameter", directory.diameter)
TWINS.add("directory.kerberos", directory.kerberos)
TWINS.add("directory.kerberos_stream", directory.kerberos_stream)
TWINS.add("directory.ldap", directory.ldap)
TWINS.add("directory.ntp", directory.ntp)
TWINS.add("directory.radius", directory.radius)
TWINS.add("directory.snmp", directory.snmp)
TWINS.add("directory.syslog", directory.syslog)
TWINS.add("files.dce_rpc", files.dce_rpc)
TWINS.add("files.dce_rpc_datagram", files.dce_rpc_datagram)
TWINS.add("files.git", files.git)
TWINS.add("files.rpc", files.rpc)
TWINS.add("files.rpc_stream", files.rpc_stream)
TWINS.add("files.rsync", files.rsync)
TWINS.add("files.smb", files.smb)
TWINS.add("files.tftp", files.tftp)
TWINS.add("industrial.bacnet", industrial.bacnet)
TWINS.add("industrial.cip_io", industrial.cip_io)
TWINS.add("industrial.dnp3", industrial.dnp3)
TWINS.add("industrial.ethernet_ip", industrial.ethernet_ip)
TWINS.add("industrial.iec104", industrial.iec104)
TWINS.add("industrial.modbus", industrial.modbus)
TWINS.add("industrial.opcua", industrial.opcua)
TWINS.add("industrial.s7", industrial.s7)
TWINS.add("iot.amqp", iot.amqp)
TWINS.add("iot.coap", iot.coap)
TWINS.add("iot.mqtt", iot.mqtt)
TWINS.add("iot.xmpp", iot.xmpp)
TWINS.add("leases.dhcp", leases.dhcp)
TWINS.add("leases.dhcpv6", leases.dhcpv6)
TWINS.add("mail.command", mail.command)
TWINS.add("mail.imap", mail.imap)
TWINS.add("mail.irc", mail.irc)
TWINS.add("mail.pop3", mail.pop3)
TWINS.add("mail.reply", mail.reply)
TWINS.add("media.h323", media.h323)
TWINS.add("media.rtcp", media.rtcp)
TWINS.add("media.rtp", media.rtp)
TWINS.add("media.sip", media.sip)
TWINS.add("media.stun", media.stun)
TWINS.add("media.stun_stream", media.stun_stream)
TWINS.add("names.dns", names.dns)
TWINS.add("names.dns_stream", names.dns_stream)
TWINS.add("netbios.datagram", netbios.datagram)
TWINS.add("netbios.name_service", netbios.name_service)
TWINS.add("netbios.session", netbios.session)
TWINS.add("peers.bittorrent", peers.bittorrent)
TWINS.add("peers.dht", peers.dht)
TWINS.add("peers.tracker", peers.tracker)
TWINS.add("peers.utp", peers.utp)
TWINS.add("quic.quic", quic.quic)
TWINS.add("quic.gquic", quic.gquic)
TWINS.add("remote.rdp", remote.rdp)
TWINS.add("remote.rdp_udp", remote.rdp_udp)
TWINS.add("remote.rfb", remote.rfb)
TWINS.add("remote.ssh", remote.ssh)
TWINS.add("remote.telnet", remote.telnet)
TWINS.add("routing.bgp", routing.bgp)
TWINS.add("routing.ldp", routing.ldp)
TWINS.add("tls.dtls", tls.dtls)
TWINS.add("tls.ssl2", tls.ssl2)
TWINS.add("tls.tls", tls.tls)
TWINS.add("vpn.esp_in_udp", vpn.esp_in_udp)
TWINS.add("vpn.gtp", vpn.gtp)
TWINS.add("vpn.ike", vpn.ike)
TWINS.add("vpn.ike_natt", vpn.ike_natt)
TWINS.add("vpn.l2tp", vpn.l2tp)
TWINS.add("vpn.openvpn", vpn.openvpn)
TWINS.add("vpn.openvpn_stream", vpn.openvpn_stream)
TWINS.add("vpn.pptp", vpn.pptp)
TWINS.add("vpn.socks", vpn.socks)
TWINS.add("vpn.vxlan", vpn.vxlan)
TWINS.add("vpn.wireguard", vpn.wireguard)
TWINS.add("web.http", web.http)
TWINS.add("web.rtsp", web.rtsp)
TWINS.add("web.ssdp", web.ssdp)

NAMES = tuple(TWINS.places)
"""The names of the matchers that have a native twin."""


cdef class Matchers:
    """All matchers, chosen by protocol and first byte; shared by accountants, and never changed.

    rows: of each matcher of the table, in its order: (protocol, name, first bytes, least length).
    numbers: the number of each application, by its name.  tcp_ports, udp_ports: 65536 bytes, applications by port.
    resolvers: suffixes of the names of public resolvers.  wanted: payloads of a conversation that may tell more.

    Raises ValueError for an application that is missing, tables of other lengths, or suffixes that are too long or too many;
    MemoryError.
    """

    def __cinit__(self, rows, numbers, tcp_ports, udp_ports, resolvers, uint8_t wanted):
        cdef int i
        cdef bytes suffix
        self.dispatch.decide = decide_by_payload
        self.dispatch.go_on = go_on_with_follower
        self.dispatch.may_announce = payload_may_announce
        self.dispatch.wanted_after_label = wanted
        copy_table(self.dispatch.apps[0], tcp_ports, 65536, "the table of TCP ports")
        copy_table(self.dispatch.apps[1], udp_ports, 65536, "the table of UDP ports")
        for i in range(N_NATIVE_APPS):
            if APPS[i] not in numbers:
                raise ValueError(f"the table of applications lacks {APPS[i]!r}")
            self.dispatch.numbers[i] = numbers[APPS[i]]
        for suffix in resolvers:
            if not add_suffix(&self.dispatch.resolvers, suffix, len(suffix)):
                raise ValueError(f"there is no room for the resolver {suffix!r}: at most {MAX_SUFFIXES}, of {MAX_SUFFIX} bytes")
        self.set_follower(DNS_FOLLOWS, names.dns, 12)
        self.set_follower(DNS_STREAM_FOLLOWS, names.dns_stream, 14)
        self.set_follower(HELLO_FOLLOWS, tls.more_of_hello, 1)
        self.set_follower(CERTIFICATE_FOLLOWS, tls.certificate, 1)
        self.set_follower(STUN_FOLLOWS, media.after_stun, 1)
        self.set_follower(DHCP_FOLLOWS, leases.dhcp, 28)
        self.set_follower(DHCPV6_FOLLOWS, leases.dhcpv6, 8)
        self.set_candidates(sorted(rows, key=lambda row: len(row[2])))

    def __dealloc__(self):
        free(self.dispatch.candidates)

    cdef void set_follower(self, int follow, Matcher matcher, uint32_t least) noexcept:
        self.dispatch.followers[follow] = matcher
        self.dispatch.least[follow] = least

    cdef int set_candidates(self, list rows) except -1:
        cdef uint32_t n_candidates = 0
        cdef Candidate* candidate
        cdef int kind, byte
        self.dispatch.candidates = <Candidate*>calloc(sum(len(first) for _, _, first, _ in rows) + 1, sizeof(Candidate))
        if self.dispatch.candidates == NULL:
            raise MemoryError("no memory for the table of matchers")
        for kind in range(2):
            of_protocol = [row for row in rows if row[0] == (TCP if kind == 0 else UDP)]
            for byte in range(256):
                self.dispatch.starts[kind][byte] = n_candidates
                for _, name, first, least in of_protocol:
                    if byte in first:
                        candidate = &self.dispatch.candidates[n_candidates]
                        candidate.matcher = TWINS.find(name)
                        candidate.least = least
                        candidate.announces = ANNOUNCING.get(name, NOTHING)
                        n_candidates += 1
            self.dispatch.starts[kind][256] = n_candidates
        return 0


def _without_time(key, name, source, ts_ns):
    return key, name, source


cdef class Looker:
    """Looks at single payloads with `Matchers`, as an accountant does."""

    cdef Matchers matchers
    cdef Notes notes
    cdef Hello* hellos
    cdef Memo* memos

    def __cinit__(self, Matchers matchers not None):
        self.matchers = matchers
        notes_init(&self.notes)
        self.notes.keeps_details = True
        self.hellos = hellos_new()
        self.memos = memos_new()

    def __dealloc__(self):
        notes_free(&self.notes)
        hellos_free(self.hellos)
        memos_free(self.memos)

    def look(self, uint64_t token, uint8_t protocol, bytes src not None, uint16_t src_port, bytes dst not None, uint16_t dst_port,
             bint from_a, data, int64_t ts_ns, int follow=0):
        """Look at a payload; return (verdict, app, title, follow, facts, hello, certificate).

        verdict: "no", "certain" or "ask".  app: its number, 0 for none, or as it was.  title: as sent, None for none.
        follow: of an earlier result: what looks at this one.  facts: (host's key, name as sent, source) of each name noted.
        hello, certificate: bytes of the handshake that were noted, b"" for none.
        """
        cdef const uint8_t[::1] view = bytes_of(data)
        cdef Look look
        cdef int verdict
        if not 1 <= view.shape[0] <= MAX_PAYLOAD or len(src) != 16 or len(dst) != 16 or protocol not in (TCP, UDP):
            raise ValueError(f"a payload of 1 to {MAX_PAYLOAD} bytes of TCP or UDP and keys of 16 bytes are needed")
        if not 0 <= follow < N_FOLLOWERS:
            raise ValueError(f"follow must be 0 to {N_FOLLOWERS - 1}, not {follow}")
        memset(&look, 0, sizeof(Look))
        look.data, look.n, look.protocol, look.from_a = &view[0], <uint32_t>view.shape[0], protocol, from_a
        look.src_port, look.dst_port = src_port, dst_port
        look.src, look.dst = v6_key(<const uint8_t*>src), v6_key(<const uint8_t*>dst)
        look.ts_ns, look.token, look.notes = ts_ns, token, &self.notes
        look.hellos, look.memos = self.hellos, self.memos
        if follow:
            verdict = self.matchers.dispatch.go_on(&self.matchers.dispatch, &look, follow)
        else:
            verdict = self.matchers.dispatch.decide(&self.matchers.dispatch, &look)
        facts, hellos, certificates = [], [], []
        take_names(&self.notes, False, _without_time, SOURCES, facts, ([], hellos, certificates))
        details = (b"".join(noted for _, noted in hellos), b"".join(noted for _, noted in certificates))
        if verdict != CERTAIN:
            return "ask" if verdict == ASK else "no", 0, None, 0, facts, *details
        title = look.title[:look.n_title] if look.n_title else None
        return "certain", self.matchers.dispatch.numbers[look.app], title, look.follow, facts, *details
