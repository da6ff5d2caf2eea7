//! A listening socket, of TCP or a Unix one, and where it is.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::{fs, path::Path};

use socket2::{Domain, SockAddr, Socket, Type};

use super::bind::{ACCEPT_QUEUE, bind};
use crate::config::ListenAddress;

/// No client with an address has this port; those on a Unix socket count as this machine's, without one.
pub(super) const NO_PORT: u16 = 0;
/// Who is at the other end of a Unix socket: somebody on this machine.
const LOCAL_PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), NO_PORT);

/// See the module.
#[derive(Debug)]
pub struct ListenSocket {
    socket: Kind,
    address: ListenAddress,
    /// Device and number of a Unix socket's file, by which it is known not to be another one by now.
    file: Option<(u64, u64)>,
}

#[derive(Debug)]
enum Kind {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl ListenSocket {
    /// Opens one. A Unix socket's file that nobody listens on is replaced.
    ///
    /// # Errors
    /// The operating system's: the address is taken, or not ours.
    pub fn bind(address: &ListenAddress) -> io::Result<ListenSocket> {
        match address {
            ListenAddress::Tcp(address) => ListenSocket::inherited(bind(*address)?.into()),
            ListenAddress::Unix { path, mode } => {
                remove_stale(Path::new(path))?;
                let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
                socket.bind(&SockAddr::unix(path)?)?;
                // Nobody can connect before it listens, so nobody who may not.
                if let Some(mode) = mode {
                    fs::set_permissions(path, fs::Permissions::from_mode(*mode))?;
                }
                socket.listen(ACCEPT_QUEUE)?;
                ListenSocket::inherited(socket.into())
            }
        }
    }

    /// One that another process has opened.
    ///
    /// # Errors
    /// It is neither of TCP nor a Unix one with a file.
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

    /// Where it is; the real port where port 0 was asked for.
    pub fn address(&self) -> &ListenAddress {
        &self.address
    }

    /// The next client. A Unix socket's is an address-less peer on this machine; std's type is no more than a
    /// descriptor here.
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

    /// At the real end: nobody finds a Unix socket any more that nobody will accept on. A file that is another
    /// socket's by now is left alone.
    pub(super) fn remove_file(&self) {
        if let (ListenAddress::Unix { path, .. }, Some(file)) = (&self.address, self.file)
            && identity(Path::new(path)) == Some(file)
        {
            // Without it the next start finds nobody there, and replaces it.
            let _ = fs::remove_file(path);
        }
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

/// Makes room at this path, where nobody listens.
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
