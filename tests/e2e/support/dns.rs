//! A name server whose answers a test decides, in records and in manners: over UDP and TCP on one loopback port.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;

use parking_lot::Mutex;
use simple_dns::rdata::{A, AAAA, RData, SRV};
use simple_dns::{CLASS, Name, Packet, PacketFlag, QTYPE, RCODE, ResourceRecord, TYPE};

use super::{eventually, patience};

/// How the server answers for a name.
#[derive(Debug, Clone)]
pub enum Says {
    /// These addresses.
    Addresses(Vec<IpAddr>),
    /// These services: priority, weight, port, target.
    Services(Vec<(u16, u16, u16, &'static str)>),
    /// That there is no such name.
    NoSuchName,
    /// That it has none of what was asked for.
    Nothing,
    /// That it can't say.
    Failure,
    /// Not at all.
    Silence,
}

/// See the module. Its threads end with the test's process.
pub struct Dns {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    zone: Mutex<HashMap<String, Says>>,
    ttl: Mutex<u32>,
    asked: AtomicUsize,
}

impl Dns {
    /// One that knows no name; records hold for no time at all, so that the balancer asks as often as it may.
    pub fn start() -> Dns {
        let (udp, tcp) = eventually("a port that is free for both", || {
            let tcp = TcpListener::bind("127.0.0.1:0").ok()?;
            Some((UdpSocket::bind(tcp.local_addr().ok()?).ok()?, tcp))
        });
        let (address, shared) = (udp.local_addr().unwrap(), Arc::new(Shared::default()));
        let (by_datagram, by_stream) = (Arc::clone(&shared), Arc::clone(&shared));
        thread::spawn(move || serve_datagrams(&udp, &by_datagram));
        thread::spawn(move || {
            tcp.incoming().flatten().for_each(|stream| _ = serve_stream(stream, &by_stream))
        });
        Dns { address, shared }
    }

    /// For `dns.servers`.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// From now on.
    pub fn says(&self, name: &str, says: Says) {
        self.shared.zone.lock().insert(name.to_owned(), says);
    }

    /// The same with addresses.
    pub fn says_addresses(&self, name: &str, addresses: &[&str]) {
        self.says(name, Says::Addresses(addresses.iter().map(|text| text.parse().unwrap()).collect()));
    }

    /// For how long records hold from now on, in seconds.
    pub fn ttl(&self, seconds: u32) {
        *self.shared.ttl.lock() = seconds;
    }

    /// How often it was asked.
    pub fn asked(&self) -> usize {
        self.shared.asked.load(SeqCst)
    }

    /// Waits until it was asked so often more.
    #[track_caller]
    pub fn wait_for_questions(&self, more: usize) {
        let before = self.asked();
        eventually("it was asked", || self.asked() >= before + more);
    }
}

fn serve_datagrams(socket: &UdpSocket, shared: &Shared) {
    const MOST: usize = 512;
    let mut buffer = [0; 1024];
    while let Ok((length, peer)) = socket.recv_from(&mut buffer) {
        let Some(answer) = answer(&buffer[..length], shared) else { continue };
        let mut bytes = answer.build_bytes_vec().unwrap();
        if bytes.len() > MOST {
            let mut cut = Packet::parse(&bytes).unwrap();
            cut.answers.clear();
            cut.set_flags(PacketFlag::TRUNCATION);
            bytes = cut.build_bytes_vec().unwrap();
        }
        let _ = socket.send_to(&bytes, peer);
    }
}

fn serve_stream(mut stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    stream.set_read_timeout(Some(patience()))?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut question)?;
    let Some(answer) = answer(&question, shared) else { return Ok(()) };
    let bytes = answer.build_bytes_vec().unwrap();
    stream.write_all(&u16::try_from(bytes.len()).unwrap().to_be_bytes())?;
    stream.write_all(&bytes)
}

fn answer(question: &[u8], shared: &Shared) -> Option<Packet<'static>> {
    let asked = Packet::parse(question).ok()?;
    let question = asked.questions.first()?.clone().into_owned();
    let name = question.qname.to_string().to_ascii_lowercase();
    let says = shared.zone.lock().get(&name).cloned().unwrap_or(Says::NoSuchName);
    shared.asked.fetch_add(1, SeqCst);
    let mut reply = Packet::new_reply(asked.id());
    let record = |data: RData<'static>| {
        ResourceRecord::new(question.qname.clone(), CLASS::IN, *shared.ttl.lock(), data)
    };
    let records: Vec<RData<'static>> = match says {
        Says::Silence => return None,
        Says::NoSuchName => {
            *reply.rcode_mut() = RCODE::NameError;
            Vec::new()
        }
        Says::Failure => {
            *reply.rcode_mut() = RCODE::ServerFailure;
            Vec::new()
        }
        Says::Nothing => Vec::new(),
        Says::Addresses(all) => all.into_iter().filter_map(|ip| data(ip, question.qtype)).collect(),
        Says::Services(all) if question.qtype == QTYPE::TYPE(TYPE::SRV) => {
            let service = |(priority, weight, port, target)| {
                RData::SRV(SRV { priority, weight, port, target: Name::new_unchecked(target) })
            };
            all.into_iter().map(service).collect()
        }
        Says::Services(_) => Vec::new(),
    };
    reply.answers = records.into_iter().map(record).collect();
    reply.questions.push(question.clone());
    Some(reply)
}

fn data(ip: IpAddr, asked: QTYPE) -> Option<RData<'static>> {
    match (ip, asked) {
        (IpAddr::V4(v4), QTYPE::TYPE(TYPE::A)) => Some(RData::A(A { address: v4.to_bits() })),
        (IpAddr::V6(v6), QTYPE::TYPE(TYPE::AAAA)) => Some(RData::AAAA(AAAA { address: v6.to_bits() })),
        _ => None,
    }
}
