//! The thread that watches the configuration's file and the files that it names, and asks for a reload when it has changed.
//!
//! It reads them every half second and compares: that sees a write in place, a rename over it, a
//! swapped symbolic link and a bind mount alike, of which notifications of the kernel miss some. A change
//! counts when it was seen twice, so that a file that is still being written is not read half.

use std::io;
use std::path::PathBuf;
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
    if reloader.file().is_none() {
        return Ok(());
    }
    let mut loaded = contents(&reloader.files());
    let work = move || {
        let mut seen = loaded.clone();
        while !running.wait(PAUSE) {
            let now = contents(&reloader.files());
            // A file that is gone for a moment is about to be replaced.
            let is_whole = now.iter().all(Option::is_some);
            if is_whole && now != loaded && now == seen {
                // What is wrong with it is in the log.
                let _ = reloader.reload();
                // It may name other files now.
                loaded = contents(&reloader.files());
                seen.clone_from(&loaded);
                continue;
            }
            seen = now;
        }
    };
    thread::Builder::new().name("reload".into()).stack_size(STACK_BYTES).spawn(work).map(drop)
}

fn contents(files: &[PathBuf]) -> Vec<Option<Vec<u8>>> {
    files.iter().map(|file| std::fs::read(file).ok()).collect()
}
