//! Text that others wrote, on a terminal.

use std::fmt::Write as _;
use std::io::{self, ErrorKind, Write as _};

/// Characters that a terminal obeys instead of showing them, or that turn the order of what is shown.
fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}')
}

/// The text of one field, in which such characters are written out as JSON would.
pub(super) fn clean(text: &str) -> String {
    escaped(text, is_obeyed)
}

/// Whole lines, in which such characters but the ends of lines are written out: JSON stays what it is.
pub(super) fn visible(text: &str) -> String {
    escaped(text, |c| c != '\n' && is_obeyed(c))
}

fn escaped(text: &str, which: impl Fn(char) -> bool) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if which(c) {
            // A `String` takes everything.
            let _ = write!(shown, "\\u{:04x}", u32::from(c));
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Writes to standard output; whether somebody still reads it (`| head` does not).
pub(super) fn write(text: &str) -> io::Result<bool> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        other => other.map(|()| true),
    }
}
