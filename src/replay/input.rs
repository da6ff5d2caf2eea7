//! Reads a log as lines, from a file or from standard input, plain or compressed with gzip, one line at a
//! time and with a limit for its length.

use std::borrow::Cow;
use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::rc::Rc;

use flate2::bufread::MultiGzDecoder;

/// Limit for a line; longer ones are skipped. Our own lines are shorter (a method and a target of 2 KiB, with
/// every character escaped).
const MAX_LINE_BYTES: u64 = 64 << 10;
/// The first bytes of a compressed file (RFC 1952 section 2.3.1).
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// Size of one read.
const BUFFER_BYTES: usize = 256 << 10;

/// See the module.
pub struct Input {
    reader: BufReader<Box<dyn Read>>,
    size_bytes: Option<u64>,
    read_bytes: Rc<Cell<u64>>,
    line: Vec<u8>,
    text: String,
}

/// Counts the bytes read from the file itself.
struct Counted(Box<dyn Read>, Rc<Cell<u64>>);

impl Read for Counted {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let amount = self.0.read(buf)?;
        self.1.set(self.1.get() + amount as u64);
        Ok(amount)
    }
}

impl Input {
    /// Opens the file, or standard input for `-`.
    ///
    /// # Errors
    /// The operating system's.
    pub fn open(path: &Path) -> io::Result<Input> {
        if path.as_os_str() == "-" {
            return Input::of(Box::new(io::stdin()), None);
        }
        let file = File::open(path)?;
        let about = file.metadata()?;
        let size = about.is_file().then_some(about.len());
        Input::of(Box::new(file), size)
    }

    pub(super) fn of(source: Box<dyn Read>, size_bytes: Option<u64>) -> io::Result<Input> {
        let read_bytes = Rc::default();
        let mut raw = BufReader::with_capacity(BUFFER_BYTES, Counted(source, Rc::clone(&read_bytes)));
        let is_gzip = raw.fill_buf()?.starts_with(&GZIP);
        let source: Box<dyn Read> = if is_gzip { Box::new(MultiGzDecoder::new(raw)) } else { Box::new(raw) };
        let reader = BufReader::with_capacity(BUFFER_BYTES, source);
        Ok(Input { reader, size_bytes, read_bytes, line: Vec::new(), text: String::new() })
    }

    /// Size of the whole log, if known.
    pub fn size_bytes(&self) -> Option<u64> {
        self.size_bytes
    }

    /// Number of bytes read so far.
    pub fn read_bytes(&self) -> u64 {
        self.read_bytes.get()
    }

    /// The next line without its end, or a reason if it is too long. `None` at the end of the log.
    ///
    /// # Errors
    /// The operating system's.
    pub fn next_line(&mut self) -> io::Result<Option<Result<&str, &'static str>>> {
        self.line.clear();
        let read = self.reader.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut self.line)?;
        if read == 0 {
            return Ok(None);
        }
        if read as u64 == MAX_LINE_BYTES && !self.line.ends_with(b"\n") {
            self.skip_line()?;
            return Ok(Some(Err("a line of more than 64 KiB")));
        }
        while self.line.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
            self.line.pop();
        }
        match String::from_utf8_lossy(&self.line) {
            Cow::Borrowed(text) => Ok(Some(Ok(text))),
            Cow::Owned(text) => {
                self.text = text;
                Ok(Some(Ok(&self.text)))
            }
        }
    }

    fn skip_line(&mut self) -> io::Result<()> {
        loop {
            let buffer = self.reader.fill_buf()?;
            let end = buffer.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
            let amount = end.unwrap_or(buffer.len());
            self.reader.consume(amount);
            if end.is_some() || amount == 0 {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_in_any_way_and_giants_are_skipped() {
        let giant = "x".repeat(200_000);
        let text = format!("one\r\n{giant}\n\u{ff}two\nthree");
        let mut bytes = text.clone().into_bytes();
        bytes.extend(b"\xff");
        let mut input = Input::of(Box::new(io::Cursor::new(bytes.clone())), None).unwrap();
        let mut lines = Vec::new();
        while let Some(line) = input.next_line().unwrap() {
            lines.push(line.map(str::to_owned));
        }
        assert_eq!(lines[0].as_deref(), Ok("one"));
        assert!(lines[1].is_err());
        assert_eq!(lines[2].as_deref(), Ok("\u{ff}two"));
        assert_eq!(lines[3].as_deref(), Ok("three\u{fffd}"));
        assert_eq!((lines.len(), input.read_bytes()), (4, bytes.len() as u64));
    }

    #[test]
    fn what_is_compressed_is_read_as_though_it_were_not() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        io::Write::write_all(&mut encoder, b"one\ntwo\n").unwrap();
        let bytes = encoder.finish().unwrap();
        // Two compressed logs in sequence are one log, as for zcat.
        let twice = [bytes.clone(), bytes.clone()].concat();
        let mut input = Input::of(Box::new(io::Cursor::new(twice)), None).unwrap();
        let mut lines = Vec::new();
        while let Some(line) = input.next_line().unwrap() {
            lines.push(line.unwrap().to_owned());
        }
        assert_eq!(lines, ["one", "two", "one", "two"]);
        let cut = bytes[..bytes.len() / 2].to_vec();
        let mut input = Input::of(Box::new(io::Cursor::new(cut)), None).unwrap();
        assert!((0..3).any(|_| input.next_line().is_err()), "a broken file is said to be one");
    }
}
