//! Everything that a plugin should not do.

use std::hint::black_box;

/// Does it. Returns only from what is not bad.
pub fn be(what: &str) {
    match what {
        "trap" => panic!("told you so"),
        "exit" => std::process::exit(3),
        "loop" => endless(),
        "recurse" => drop(black_box(deeper(1))),
        "hog" => hog(),
        "sleep" => std::thread::sleep(std::time::Duration::from_secs(3600)),
        "chatter" => {
            for line in 0..100_000 {
                eprintln!("line {line} of very many, said again and again");
            }
        }
        _ => {}
    }
}

#[allow(clippy::empty_loop)]
fn endless() {
    let mut turns = 0u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

fn deeper(depth: u64) -> u64 {
    let room = black_box([depth; 64]);
    if depth == u64::MAX { 0 } else { deeper(depth + 1) + room[(depth % 64) as usize] }
}

fn hog() {
    let mut all = Vec::new();
    loop {
        all.push(black_box(vec![1u8; 1 << 20]));
    }
}

/// Text that is none.
pub fn no_text() -> String {
    // What a plugin in a language without such a type could hand over.
    unsafe { String::from_utf8_unchecked(vec![0xff, 0xfe, b'x']) }
}
