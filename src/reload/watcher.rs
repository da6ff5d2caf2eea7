//! The thread that watches the configuration's file, and asks for a reload when it has changed.
//!
//! It reads the file every half second and compares: that sees a write in place, a rename over it, a
//! swapped symbolic link and a bind mount alike, of which notifications of the kernel miss some. A change
//! counts when it was seen twice, so that a file that is still being written is not read half.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::Reloader;
use crate::shutdown::Running;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(500);
/// The stack of a thread that reads a small file.
const STACK_BYTES: usize = 512 << 10;

/// Starts the thread, if there is a file to watch.
///
/// # Errors
/// The operating system's, for the thread.
pub fn start(reloader: Arc<Reloader>, running: Running) -> io::Result<()> {
    let Some(file) = reloader.file().cloned() else { return Ok(()) };
    let mut loaded = content(&file.path);
    let work = move || {
        let mut seen = loaded.clone();
        while !running.wait(PAUSE) {
            let now = content(&file.path);
            // A file that is gone for a moment is about to be replaced.
            if now.is_some() && now != loaded && now == seen {
                loaded.clone_from(&now);
                // What is wrong with it is in the log.
                let _ = reloader.reload();
            }
            seen = now;
        }
    };
    thread::Builder::new().name("reload".into()).stack_size(STACK_BYTES).spawn(work).map(drop)
}

fn content(path: &Path) -> Option<Vec<u8>> {
    std::fs::read(path).ok()
}
