//! The allocator of both programs: memory is zeroed before it is given back.
//!
//! Keys pass through buffers that are not ours to clear: what a JSON parser unescapes into, what a
//! vector grows out of, what a library copies. So no heap block keeps what it held, whoever frees it.
//! What lives is cleared by its owner (`Zeroizing`), and what is on a stack by who put it there.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};

/// The system's allocator, clearing what it takes back.
#[derive(Debug)]
pub struct Clearing;

#[global_allocator]
static ALLOCATOR: Clearing = Clearing;

// SAFETY: every block is the system allocator's own, with the layout that it was asked for. `realloc` is
// the trait's: a new block, a copy and a `dealloc` of the old one, so that growing leaves nothing behind.
unsafe impl GlobalAlloc for Clearing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are those that the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller gives a block of this size that nobody uses any more. A plain write before
        // a free is one that the compiler may leave out; this call it may not.
        unsafe { libc::explicit_bzero(block.cast(), layout.size()) };
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) }
    }
}

#[cfg(test)]
mod tests {
    /// Whether the block that a vector had still holds its words once it is freed: asked of the kernel,
    /// since the memory is nobody's any more.
    fn left(address: usize, word: &[u8]) -> bool {
        use std::os::unix::fs::FileExt;
        let mut held = vec![0; word.len()];
        let memory = std::fs::File::open("/proc/self/mem");
        let at = u64::try_from(address).unwrap_or_default();
        match memory.and_then(|m| m.read_exact_at(&mut held, at)) {
            Ok(()) => held == word,
            // It went back to the kernel.
            Err(_) => false,
        }
    }

    #[test]
    fn what_is_freed_or_grown_out_of_holds_nothing_any_more() {
        let word = b"a word that stays where it was, were it not cleared";
        // In the middle: the allocator writes its own notes at the beginning of a free block.
        let (at, size) = (200, 1000);
        for grow in [false, true] {
            let mut block = vec![b'x'; size];
            block.shrink_to_fit();
            block[at..at + word.len()].copy_from_slice(word);
            let address = block.as_ptr() as usize + at;
            assert!(left(address, word));
            if grow {
                block.reserve_exact(100 * size);
                block[at..at + word.len()].fill(b'y');
            } else {
                drop(block);
            }
            assert!(!left(address, word), "grown: {grow}");
        }
    }
}
