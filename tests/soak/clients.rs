//! The clients of the soak: one function each, which runs until it is told to stop.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

use crate::Account;
use crate::support::Client;

/// A kind of client and how many of it there are.
pub struct Kind {
    /// For the thread's name.
    pub name: &'static str,
    /// Threads.
    pub count: usize,
    /// What it does.
    pub run: fn(SocketAddr, &Account),
}

const fn kind(name: &'static str, count: usize, run: fn(SocketAddr, &Account)) -> Kind {
    Kind { name, count, run }
}

/// All of them.
pub const KINDS: &[Kind] = &[
    kind("kept-alive", 6, kept_alive),
    kind("one-request", 2, one_request),
    kind("post", 1, post),
    kind("slow-head", 4, slow_head),
    kind("silent", 20, silent),
    kind("slow-reader", 2, slow_reader),
    kind("cancelled-upload", 2, cancelled_upload),
    kind("pipeliner", 1, pipeliner),
    kind("malformed", 2, malformed),
    kind("announced", 1, announced),
];

fn pause(milliseconds: u64) {
    thread::park_timeout(Duration::from_millis(milliseconds));
}

fn stopped(account: &Account) -> bool {
    account.stop.load(Relaxed)
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.set_write_timeout(Some(Duration::from_secs(20)))?;
    Ok(stream)
}

/// Sends one that must not be lost; whether the connection is kept.
fn ask(client: &mut Client, number: u64, account: &Account) -> bool {
    account.sent.fetch_add(1, Relaxed);
    let (method, body) = if number % 4 == 0 { ("PUT", &b"0123456789"[..]) } else { ("GET", &b""[..]) };
    client.ask(method, "/good", &[], body);
    let answer = client.try_read_response_to(method);
    match &answer {
        Ok(answer) if answer.status == 200 => answer.header("connection") != Some("close"),
        Ok(answer) => {
            println!("LOST: {method} got {} {}", answer.status, answer.text());
            account.lost.fetch_add(1, Relaxed);
            false
        }
        Err(error) => {
            println!("LOST: {method} got {error}");
            account.lost.fetch_add(1, Relaxed);
            false
        }
    }
}

fn kept_alive(address: SocketAddr, account: &Account) {
    let mut number = 0;
    while !stopped(account) {
        let mut client = Client::connect(address);
        while !stopped(account) && ask(&mut client, number, account) {
            number += 1;
        }
    }
}

fn one_request(address: SocketAddr, account: &Account) {
    while !stopped(account) {
        ask(&mut Client::connect(address), 1, account);
    }
}

fn post(address: SocketAddr, account: &Account) {
    while !stopped(account) {
        account.posts.fetch_add(1, Relaxed);
        let mut client = Client::connect(address);
        client.ask("POST", "/post", &[("Connection", "close")], b"once");
        if !client.try_read_response_to("POST").is_ok_and(|answer| answer.status == 200) {
            account.failed_posts.fetch_add(1, Relaxed);
        }
        pause(5);
    }
}

/// A byte of head at a time.
fn slow_head(address: SocketAddr, account: &Account) {
    while !stopped(account) {
        let Ok(mut stream) = connect(address) else { continue };
        account.hostile.fetch_add(1, Relaxed);
        for byte in b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ".iter().chain(std::iter::repeat_n(&b'a', 100)) {
            if stopped(account) || stream.write_all(&[*byte]).is_err() {
                break;
            }
            pause(200);
        }
    }
}

fn silent(address: SocketAddr, account: &Account) {
    while !stopped(account) {
        let _stream = connect(address);
        account.hostile.fetch_add(1, Relaxed);
        (0..30).take_while(|_| !stopped(account)).for_each(|_| pause(100));
    }
}

/// Asks, and takes its time with the answer.
fn slow_reader(address: SocketAddr, account: &Account) {
    while !stopped(account) {
        let Ok(mut stream) = connect(address) else { continue };
        account.hostile.fetch_add(1, Relaxed);
        let _ = stream.write_all(b"GET /slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let mut byte = [0];
        while !stopped(account) && matches!(stream.read(&mut byte), Ok(1)) {
            pause(3);
        }
    }
}

/// Announces more than it sends, in both framings.
fn cancelled_upload(address: SocketAddr, account: &Account) {
    let heads = ["Content-Length: 5000000", "Transfer-Encoding: chunked"];
    for head in heads.iter().cycle().take_while(|_| !stopped(account)) {
        let Ok(mut stream) = connect(address) else { continue };
        account.hostile.fetch_add(1, Relaxed);
        let _ = write!(stream, "PUT /cut HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n1000\r\nabc");
        pause(10);
        let _ = stream.shutdown(Shutdown::Both);
    }
}

/// Does not wait for answers.
fn pipeliner(address: SocketAddr, account: &Account) {
    let many = "GET /many HTTP/1.1\r\nHost: x\r\n\r\n".repeat(300);
    while !stopped(account) {
        let Ok(mut stream) = connect(address) else { continue };
        account.hostile.fetch_add(1, Relaxed);
        let _ = stream.write_all(many.as_bytes());
        pause(100);
    }
}

fn malformed(address: SocketAddr, account: &Account) {
    let tricks: [&[u8]; 6] = [
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / ICAP/1.0\r\nHost: x\r\n\r\n",
    ];
    for trick in tricks.iter().cycle().take_while(|_| !stopped(account)) {
        let Ok(mut stream) = connect(address) else { continue };
        account.hostile.fetch_add(1, Relaxed);
        let _ = stream.set_read_timeout(Some(Duration::from_millis(50)));
        let _ = stream.write_all(trick).and_then(|()| stream.read(&mut [0; 512]).map(drop));
        pause(20);
    }
}

/// Bodies that never come.
fn announced(address: SocketAddr, account: &Account) {
    while !stopped(account) {
        let Ok(mut stream) = connect(address) else { continue };
        account.hostile.fetch_add(1, Relaxed);
        let _ = stream.write_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\nabc");
        pause(50);
    }
}
