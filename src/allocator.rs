//! The global allocator: the system's, but for giants.
//!
//! tiny_http 0.12 throws an unread request body away by reading it into a vector as large as its
//! announced length (`EqualReader`'s drop): a client that announces 30 GB and goes away would end the
//! process, because the allocation fails. Memory that is only reserved costs nothing until it is touched,
//! and here it never is, for the connection is shut before (`frontend/stream.rs`). So allocations of
//! [`GIANT_BYTES`] and more are mapped without reservation. Lengths that even the address space does not
//! hold are dealt with by `frontend`. With `vm.overcommit_memory=2` the kernel reserves all the same.
//!
//! The test that fails without it: `a_giant_content_length_does_not_end_the_process`.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr;

/// From here on memory is mapped without reservation, and given back at once. Nothing of ours is as
/// large; glibc would keep blocks of some megabytes for later, and cancelled uploads add up there.
const GIANT_BYTES: usize = 1 << 20;

/// See the module.
pub struct SparseGiants;

fn is_giant(size: usize) -> bool {
    size >= GIANT_BYTES
}

// SAFETY: by the layout's size alone each block belongs to `System` or to `mmap`, when it is allocated
// and when it is freed, for both get the same layout; `realloc` copies between the two. Fresh anonymous
// mappings are zeroed, page-aligned, and of at least the size asked for.
unsafe impl GlobalAlloc for SparseGiants {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if is_giant(layout.size()) {
            return map(layout.size());
        }
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if is_giant(layout.size()) {
            return map(layout.size());
        }
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if is_giant(layout.size()) {
            // SAFETY: by the rule above this block is a mapping of this size.
            let _ = unsafe { libc::munmap(block.cast(), layout.size()) };
            return;
        }
        // SAFETY: by the rule above this block is the system's.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        if !is_giant(layout.size()) && !is_giant(new_size) {
            // SAFETY: the block is and stays the system's.
            return unsafe { System.realloc(block, layout, new_size) };
        }
        // SAFETY: the caller promises a size that is not zero and does not overflow; the blocks do not
        // overlap, and both have at least the length copied.
        unsafe {
            let new = self.alloc(Layout::from_size_align_unchecked(new_size, layout.align()));
            if !new.is_null() {
                ptr::copy_nonoverlapping(block, new, layout.size().min(new_size));
                self.dealloc(block, layout);
            }
            new
        }
    }
}

fn map(size: usize) -> *mut u8 {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a fresh anonymous mapping touches no memory that is in use.
    let block = unsafe { libc::mmap(ptr::null_mut(), size, protection, flags, -1, 0) };
    if block == libc::MAP_FAILED { ptr::null_mut() } else { block.cast() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_giant_is_had_without_memory_and_survives_growing_and_shrinking() {
        let giant = vec![0u8; 1 << 40];
        assert_eq!(giant[1 << 39], 0);
        let allocator = SparseGiants;
        let small = Layout::from_size_align(1000, 8).unwrap();
        // SAFETY: layouts are valid and not empty, and each block is freed with its own.
        unsafe {
            let block = allocator.alloc(small);
            ptr::write_bytes(block, 7, 1000);
            let block = allocator.realloc(block, small, GIANT_BYTES);
            let large = Layout::from_size_align(GIANT_BYTES, 8).unwrap();
            let block = allocator.realloc(block, large, 500);
            assert!(std::slice::from_raw_parts(block, 500).iter().all(|byte| *byte == 7));
            allocator.dealloc(block, Layout::from_size_align(500, 8).unwrap());
        }
    }
}
