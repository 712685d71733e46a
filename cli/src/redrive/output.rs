//! Escaping of foreign text for output on a terminal.

use std::fmt::Write as _;
use std::io::{self, ErrorKind, Write as _};

/// Returns true if a terminal obeys the character instead of showing it, or if it changes the order of the
/// text.
fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}')
}

/// Escapes such characters in one field, including line ends, as JSON would.
pub(super) fn clean(text: &str) -> String {
    escaped(text, is_obeyed)
}

/// Escapes such characters in whole lines but keeps the line ends; JSON stays valid JSON.
pub(super) fn visible(text: &str) -> String {
    escaped(text, |c| c != '\n' && is_obeyed(c))
}

fn escaped(text: &str, which: impl Fn(char) -> bool) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if which(c) {
            // Writing to a `String` never fails.
            let _ = write!(shown, "\\u{:04x}", u32::from(c));
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Writes to standard output; returns true if the reader still reads (`| head` stops early).
pub(super) fn write(text: &str) -> io::Result<bool> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        other => other.map(|()| true),
    }
}
