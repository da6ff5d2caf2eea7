//! See `loadbalancer_fuzz::answer_head` for what must hold.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| loadbalancer_fuzz::answer_head(input));
