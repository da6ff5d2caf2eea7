//! A listening socket, TCP or Unix, and its address.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::{fs, path::Path};

use socket2::{Domain, SockAddr, Socket, Type};

use super::bind::{ACCEPT_QUEUE, bind};
use crate::config::ListenAddress;

/// Marks peers on a Unix socket, which have no address; no TCP client has this port.
pub(super) const NO_PORT: u16 = 0;
/// The peer address for clients on a Unix socket.
const LOCAL_PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), NO_PORT);

/// See the module.
#[derive(Debug)]
pub struct ListenSocket {
    socket: Kind,
    address: ListenAddress,
    /// Device and inode of a Unix socket's file, to recognise a file that another process has put in its
    /// place.
    file: Option<(u64, u64)>,
}

#[derive(Debug)]
enum Kind {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl ListenSocket {
    /// Opens a listening socket. Replaces the file of a Unix socket that nobody listens on.
    ///
    /// # Errors
    /// The operating system's: the address is in use, or not one of this machine's.
    pub fn bind(address: &ListenAddress) -> io::Result<ListenSocket> {
        match address {
            ListenAddress::Tcp(address) => ListenSocket::inherited(bind(*address)?.into()),
            ListenAddress::Unix { path, mode } => {
                remove_stale(Path::new(path))?;
                let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
                socket.bind(&SockAddr::unix(path)?)?;
                // Permissions are set before listening, so that nobody without them can connect.
                if let Some(mode) = mode {
                    fs::set_permissions(path, fs::Permissions::from_mode(*mode))?;
                }
                socket.listen(ACCEPT_QUEUE)?;
                ListenSocket::inherited(socket.into())
            }
        }
    }

    /// A listening socket that another process has opened.
    ///
    /// # Errors
    /// The socket is neither a TCP socket nor a Unix socket with a file.
    pub fn inherited(socket: OwnedFd) -> io::Result<ListenSocket> {
        let address = rustix::net::getsockname(&socket)?;
        if let Ok(address) = SocketAddr::try_from(address.clone()) {
            let socket = Kind::Tcp(socket.into());
            return Ok(ListenSocket { socket, address: ListenAddress::Tcp(address), file: None });
        }
        let socket = UnixListener::from(socket);
        let address = socket.local_addr()?;
        let path = address.as_pathname().and_then(Path::to_str);
        let path = path.ok_or_else(|| io::Error::other("a socket that is neither TCP's nor has a file"))?;
        let file = identity(Path::new(path));
        let address = ListenAddress::Unix { path: path.to_owned(), mode: None };
        Ok(ListenSocket { socket: Kind::Unix(socket), address, file })
    }

    /// The address; the actual port if port 0 was requested.
    pub fn address(&self) -> &ListenAddress {
        &self.address
    }

    /// Accepts a connection. For a Unix socket, `TcpStream` serves as a plain descriptor, and the peer is
    /// [`LOCAL_PEER`].
    pub(super) fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        match &self.socket {
            Kind::Tcp(socket) => socket.accept(),
            Kind::Unix(socket) => {
                socket.accept().map(|(client, _)| (OwnedFd::from(client).into(), LOCAL_PEER))
            }
        }
    }

    pub(super) fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        match &self.socket {
            Kind::Tcp(socket) => socket.set_nonblocking(nonblocking),
            Kind::Unix(socket) => socket.set_nonblocking(nonblocking),
        }
    }

    pub(super) fn try_clone(&self) -> io::Result<ListenSocket> {
        let socket = match &self.socket {
            Kind::Tcp(socket) => Kind::Tcp(socket.try_clone()?),
            Kind::Unix(socket) => Kind::Unix(socket.try_clone()?),
        };
        Ok(ListenSocket { socket, address: self.address.clone(), file: self.file })
    }

    /// Removes a Unix socket's file when listening ends for good. A file that belongs to another socket by
    /// now is kept.
    pub(super) fn remove_file(&self) {
        if let (ListenAddress::Unix { path, .. }, Some(file)) = (&self.address, self.file)
            && identity(Path::new(path)) == Some(file)
        {
            // If this fails, the next start replaces the file, since nobody listens on it.
            let _ = fs::remove_file(path);
        }
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

/// Removes a socket's file at this path if nobody listens on it.
fn remove_stale(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(file) if !file.file_type().is_socket() => {
            return Err(io::Error::other("there is a file that is no socket"));
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Ok(_) => Err(io::Error::new(io::ErrorKind::AddrInUse, "somebody listens there")),
        Err(error) => Err(error),
    }
}

impl AsFd for ListenSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.socket {
            Kind::Tcp(socket) => socket.as_fd(),
            Kind::Unix(socket) => socket.as_fd(),
        }
    }
}

impl AsRawFd for ListenSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl From<ListenSocket> for OwnedFd {
    fn from(socket: ListenSocket) -> OwnedFd {
        match socket.socket {
            Kind::Tcp(socket) => socket.into(),
            Kind::Unix(socket) => socket.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_file_is_replaced_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lb.sock");
        let at = |mode| ListenAddress::Unix { path: path.to_str().unwrap().to_owned(), mode };
        let first = ListenSocket::bind(&at(Some(0o600))).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let taken = ListenSocket::bind(&at(None)).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
        drop(first);
        let second = ListenSocket::bind(&at(None)).unwrap();
        let third =
            fs::rename(&path, folder.path().join("away")).map(|()| ListenSocket::bind(&at(None)).unwrap());
        second.remove_file();
        assert!(path.exists(), "it is another socket's");
        third.unwrap().remove_file();
        assert!(!path.exists());
        fs::write(&path, "text").unwrap();
        assert!(ListenSocket::bind(&at(None)).unwrap_err().to_string().contains("no socket"));
        assert_eq!(fs::read(&path).unwrap(), b"text");
    }
}
