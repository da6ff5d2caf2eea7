//! Sends one question to one name server and checks its answer (RFC 1035): over UDP, and over TCP if the
//! answer is truncated. simple-dns builds and parses messages; whether an answer belongs to the question is
//! checked here.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, RCODE, TYPE};

/// Longest answer over UDP; the question does not announce that longer ones are accepted.
const MAX_DATAGRAM_BYTES: usize = 512;
/// Limit of records read from an answer; a message over TCP has room for some 4,000.
const MAX_RECORDS: usize = 1024;

/// The type of record to ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Services: host, port and weight of each (RFC 2782).
    Srv,
}

/// A record that answers the question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// An address.
    Address(IpAddr),
    /// A service.
    Service {
        /// Lower values are preferred.
        priority: u16,
        /// Its share among services of the same priority.
        weight: u16,
        /// The port it listens on.
        port: u16,
        /// The host it is on, in lower case, without a dot at the end.
        target: String,
    },
}

/// The records that answer the question, and how long they are valid.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer {
    /// In the server's order.
    pub records: Vec<Record>,
    /// The shortest TTL of the records.
    pub ttl: Duration,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DnsError {
    /// NXDOMAIN: the name does not exist.
    NoSuchName,
    /// The name has no record of this kind.
    NoRecord,
    /// The server answered with an error.
    Server(String),
    /// No answer arrived in time.
    TimedOut,
    /// The server can't be reached; with the operating system's error.
    Unreachable(String),
    /// The message is not a valid answer.
    Malformed,
}

impl fmt::Display for DnsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DnsError::NoSuchName => f.write_str("no such name (NXDOMAIN)"),
            DnsError::NoRecord => f.write_str("the name has no record of this kind"),
            DnsError::Server(code) => write!(f, "the name server answered {code}"),
            DnsError::TimedOut => f.write_str("no name server answered in time"),
            DnsError::Unreachable(why) => write!(f, "the name server can't be reached: {why}"),
            DnsError::Malformed => f.write_str("what the name server sent is no answer"),
        }
    }
}

impl From<io::Error> for DnsError {
    fn from(error: io::Error) -> DnsError {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => DnsError::TimedOut,
            _ => DnsError::Unreachable(error.to_string()),
        }
    }
}

/// Asks this server for records of a fully qualified name; takes at most `limit`.
///
/// # Errors
/// See [`DnsError`].
pub fn ask(server: SocketAddr, name: &str, kind: Kind, limit: Duration) -> Result<Answer, DnsError> {
    let deadline = Instant::now() + limit;
    // Together with the port, which the system chooses, this is what a forger would have to guess.
    let id = fastrand::u16(..);
    let question = question(name, kind, id).ok_or(DnsError::NoSuchName)?;
    let over_udp = by_datagram(server, &question, id, deadline)?;
    match read(&over_udp, (name, kind, id))? {
        Some(answer) => Ok(answer),
        None => {
            let over_tcp = by_stream(server, &question, deadline)?;
            read(&over_tcp, (name, kind, id))?.ok_or(DnsError::Malformed)
        }
    }
}

fn question(name: &str, kind: Kind, id: u16) -> Option<Vec<u8>> {
    let mut packet = Packet::new_query(id);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    let of_type = QTYPE::TYPE(match kind {
        Kind::A => TYPE::A,
        Kind::Aaaa => TYPE::AAAA,
        Kind::Srv => TYPE::SRV,
    });
    let name = Name::new(name).ok()?;
    packet.questions.push(Question::new(name, of_type, QCLASS::CLASS(CLASS::IN), false));
    packet.build_bytes_vec().ok()
}

fn by_datagram(server: SocketAddr, question: &[u8], id: u16, deadline: Instant) -> Result<Vec<u8>, DnsError> {
    let any: IpAddr =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    // From now on the kernel only accepts datagrams from this server.
    socket.connect(server)?;
    socket.send(question)?;
    let mut buffer = vec![0; MAX_DATAGRAM_BYTES];
    loop {
        socket.set_read_timeout(Some(left_until(deadline)?))?;
        let length = socket.recv(&mut buffer)?;
        // Another id belongs to an abandoned question, or is forged.
        if buffer.get(..2) == Some(&id.to_be_bytes()) {
            buffer.truncate(length);
            return Ok(buffer);
        }
    }
}

fn by_stream(server: SocketAddr, question: &[u8], deadline: Instant) -> Result<Vec<u8>, DnsError> {
    let mut stream = TcpStream::connect_timeout(&server, left_until(deadline)?)?;
    stream.set_write_timeout(Some(left_until(deadline)?))?;
    let length = u16::try_from(question.len()).map_err(|_| DnsError::Malformed)?;
    stream.write_all(&[&length.to_be_bytes()[..], question].concat())?;
    let mut length = [0; 2];
    read_all(&mut stream, &mut length, deadline)?;
    let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
    read_all(&mut stream, &mut answer, deadline)?;
    Ok(answer)
}

/// Reads the whole buffer; each wait is limited by the remaining time.
fn read_all(stream: &mut TcpStream, mut buffer: &mut [u8], deadline: Instant) -> Result<(), DnsError> {
    while !buffer.is_empty() {
        stream.set_read_timeout(Some(left_until(deadline)?))?;
        match stream.read(buffer)? {
            0 => return Err(DnsError::Malformed),
            amount => buffer = &mut buffer[amount..],
        }
    }
    Ok(())
}

fn left_until(deadline: Instant) -> Result<Duration, DnsError> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(DnsError::TimedOut) } else { Ok(left) }
}

/// The answer in a message to this question; `None` if it is truncated and must be asked for over TCP.
///
/// # Errors
/// See [`DnsError`].
pub fn read(message: &[u8], (name, kind, id): (&str, Kind, u16)) -> Result<Option<Answer>, DnsError> {
    let packet = Packet::parse(message).map_err(|_| DnsError::Malformed)?;
    let is_asked = |question: &Question<'_>| plain(&question.qname) == undotted(name);
    if packet.id() != id || !packet.has_flags(PacketFlag::RESPONSE) || !packet.questions.iter().all(is_asked)
    {
        return Err(DnsError::Malformed);
    }
    match packet.rcode() {
        RCODE::NoError => {}
        RCODE::NameError => return Err(DnsError::NoSuchName),
        code => return Err(DnsError::Server(format!("{code:?}"))),
    }
    if packet.has_flags(PacketFlag::TRUNCATION) {
        return Ok(None);
    }
    let mut answer = Answer { records: Vec::new(), ttl: Duration::MAX };
    // Aliases precede the records they lead to (RFC 1034 section 3.6.2, and every server complies).
    let mut names = vec![undotted(name)];
    for record in packet.answers.iter().take(MAX_RECORDS) {
        if record.class != CLASS::IN || !names.contains(&plain(&record.name)) {
            continue;
        }
        let found = match (&record.rdata, kind) {
            (RData::CNAME(alias), _) => {
                names.push(plain(&alias.0));
                None
            }
            (RData::A(a), Kind::A) => Some(Record::Address(Ipv4Addr::from(a.address).into())),
            (RData::AAAA(aaaa), Kind::Aaaa) => Some(Record::Address(Ipv6Addr::from(aaaa.address).into())),
            (RData::SRV(srv), Kind::Srv) => Some(Record::Service {
                priority: srv.priority,
                weight: srv.weight,
                port: srv.port,
                target: plain(&srv.target),
            }),
            _ => continue,
        };
        answer.ttl = answer.ttl.min(Duration::from_secs(record.ttl.into()));
        answer.records.extend(found);
    }
    if answer.records.is_empty() { Err(DnsError::NoRecord) } else { Ok(Some(answer)) }
}

/// Names are case-insensitive (RFC 4343).
fn plain(name: &Name<'_>) -> String {
    name.to_string().to_ascii_lowercase()
}

fn undotted(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}
