//! Stand-ins for a binary built without TLS: no value of these types can exist.

use std::convert::Infallible;
use std::io::{self, Read, Write};
use std::time::Duration;

use super::Certificate;
use crate::config::{BackendUrl, TlsConfig};

const NO_TLS: &str = "this binary was built without TLS";

/// Never exists.
#[derive(Debug, Clone)]
pub struct ClientSettings(Infallible);

/// Never exists.
#[derive(Debug)]
pub struct ClientSession(Infallible);

impl ClientSettings {
    /// Always fails.
    ///
    /// # Errors
    /// That this binary has no TLS.
    pub fn of(_: &BackendUrl, _: Option<&str>) -> Result<ClientSettings, String> {
        Err(NO_TLS.to_owned())
    }

    /// Never called.
    ///
    /// # Errors
    /// None.
    pub fn handshake<S>(
        &self,
        _: &S,
        _: Duration,
        _: impl Fn(Duration) -> io::Result<()>,
    ) -> io::Result<ClientSession> {
        match self.0 {}
    }
}

/// Always empty.
#[derive(Debug, Default)]
pub struct RenewedRoots(());

impl RenewedRoots {
    /// Always fails.
    ///
    /// # Errors
    /// That this binary has no TLS.
    pub fn read(&mut self, _: &BackendUrl, _: Option<&str>) -> Result<(), String> {
        Err(NO_TLS.to_owned())
    }

    /// Does nothing.
    pub fn take_effect(self) {}
}

impl ClientSession {
    /// Never called.
    ///
    /// # Errors
    /// None.
    pub fn read<S>(&self, _: &S, _: &mut [u8]) -> io::Result<usize>
    where
        for<'s> &'s S: Read + Write,
    {
        match self.0 {}
    }

    /// Never called.
    ///
    /// # Errors
    /// None.
    pub fn write<S>(&self, _: &S, _: &[u8]) -> io::Result<usize> {
        match self.0 {}
    }

    /// Never called.
    pub fn has_unsent(&self) -> bool {
        match self.0 {}
    }

    /// Never called.
    ///
    /// # Errors
    /// None.
    pub fn write_all<S>(&self, _: &S, _: &[u8]) -> io::Result<()> {
        match self.0 {}
    }

    /// Never called.
    ///
    /// # Errors
    /// None.
    pub fn close<S>(&self, _: &S) -> io::Result<()> {
        match self.0 {}
    }

    /// Never called.
    pub fn is_silent<S>(&self, _: &S) -> bool {
        match self.0 {}
    }
}

/// Never exists.
#[derive(Debug, Clone)]
pub struct ServerSettings(Infallible);

/// Never exists.
#[derive(Debug)]
pub struct ServerSession(Infallible);

impl ServerSettings {
    /// Always fails.
    ///
    /// # Errors
    /// That this binary has no TLS.
    pub fn load(_: &TlsConfig) -> Result<ServerSettings, Vec<String>> {
        Err(vec![format!("tls: {NO_TLS}")])
    }

    /// Never called.
    pub fn certificates(&self) -> &[Certificate] {
        match self.0 {}
    }

    /// Never called.
    ///
    /// # Errors
    /// None.
    pub fn session(&self) -> io::Result<ServerSession> {
        match self.0 {}
    }
}

impl ServerSession {
    /// Never called.
    ///
    /// # Errors
    /// None.
    pub fn receive(&mut self, _: &[u8], _: &mut Vec<u8>) -> Result<bool, String> {
        match self.0 {}
    }

    /// Never called.
    ///
    /// # Errors
    /// None.
    pub fn send(&mut self, _: &[u8], _: &mut Vec<u8>) -> io::Result<()> {
        match self.0 {}
    }

    /// Never called.
    ///
    /// # Errors
    /// None.
    pub fn drain(&mut self, _: &mut Vec<u8>) -> io::Result<()> {
        match self.0 {}
    }

    /// Never called.
    pub fn version(&self) -> Option<&'static str> {
        match self.0 {}
    }

    /// Never called.
    pub fn is_handshaking(&self) -> bool {
        match self.0 {}
    }

    /// Never called.
    pub fn close(&mut self) {
        match self.0 {}
    }
}
