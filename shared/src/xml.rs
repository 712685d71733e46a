//! Reader for the XML of webhooks and object stores: elements, text, CDATA and the five named entities.
//!
//! All other parts of XML are refused: document types, other entities, comments and processing instructions.
//! The verifier here and the reader of the message must see the same text.

use std::ops::Range;

/// Reason why a field cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum XmlError {
    /// Text that is not XML, or that uses a refused part of XML.
    Invalid,
    /// Element on the path that occurs twice, so that its value is ambiguous.
    Duplicate,
}

/// Text of an element.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Element {
    pub(crate) text: String,
    /// Range of the element's content in the body, without the tags.
    pub(crate) span: Range<usize>,
}

/// Upper bound on the nesting of elements, which no sender reaches.
const MAX_DEPTH: usize = 32;

/// Finds the element at `path` (`a.b`: names below the root). Returns `None` if the element is missing or
/// contains other elements.
pub(crate) fn find(body: &[u8], path: &str) -> Result<Option<Element>, XmlError> {
    Ok(search(body, path)?.and_then(|(element, is_text)| is_text.then_some(element)))
}

/// Returns true if the element at `path` contains other elements, so that it is there without a text.
pub(crate) fn is_nested(body: &[u8], path: &str) -> bool {
    search(body, path).is_ok_and(|found| found.is_some_and(|(_, is_text)| !is_text))
}

/// Finds the element at `path`, with true if it contains text alone.
fn search(body: &[u8], path: &str) -> Result<Option<(Element, bool)>, XmlError> {
    let text = std::str::from_utf8(body).map_err(|_| XmlError::Invalid)?;
    let mut search =
        Search { steps: path.split('.').collect(), seen: vec![false; path.split('.').count()], on_path: 0 };
    let mut open: Vec<&str> = Vec::new();
    let mut found: Option<Element> = None;
    let mut is_text = true;
    let mut scanner = Scanner { text, at: 0 };
    scanner.declaration()?;
    loop {
        let before = scanner.at;
        let inside = search.is_found() && open.len() == search.steps.len() + 1;
        match scanner.next(open.is_empty())? {
            Token::Start { name, closed } => {
                is_text &= !search.is_found();
                if open.len() == MAX_DEPTH {
                    return Err(XmlError::Invalid);
                }
                let entered = search.enter(name, open.len())?;
                if entered && search.is_found() {
                    found = Some(Element { text: String::new(), span: scanner.at..scanner.at });
                }
                if closed && entered {
                    search.leave();
                } else if !closed {
                    open.push(name);
                }
                if closed && open.is_empty() {
                    break;
                }
            }
            Token::End(name) => {
                if open.pop() != Some(name) {
                    return Err(XmlError::Invalid);
                }
                if inside && let Some(found) = &mut found {
                    found.span.end = before;
                }
                if open.len() == search.on_path && search.on_path > 0 {
                    search.leave();
                }
                if open.is_empty() {
                    break;
                }
            }
            Token::Text(text) => {
                let text = unescape(text)?;
                if let Some(found) = found.as_mut().filter(|_| inside) {
                    found.text.push_str(&text);
                }
            }
            Token::Data(text) => {
                if let Some(found) = found.as_mut().filter(|_| inside) {
                    found.text.push_str(text);
                }
            }
        }
    }
    scanner.end()?;
    Ok(found.map(|found| (found, is_text)))
}

/// Element below the root, as written.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Child<'t> {
    pub(crate) name: &'t str,
    /// Element including its tags, which is an XML document by itself.
    pub(crate) outer: &'t str,
    pub(crate) inner: &'t str,
}

/// Returns the root's name and its child elements, in order. Entities are not resolved, so a refused entity
/// in an unused element is not an error.
pub(crate) fn children(text: &str) -> Result<(&str, Vec<Child<'_>>), XmlError> {
    let (mut root, mut children) = ("", Vec::new());
    let mut open: Vec<&str> = Vec::new();
    let (mut outer, mut inner) = (0, 0);
    let mut scanner = Scanner { text, at: 0 };
    scanner.declaration()?;
    loop {
        let before = scanner.at;
        let (name, end) = match scanner.next(open.is_empty())? {
            Token::Start { name, closed } => {
                match open.len() {
                    0 => root = name,
                    1 => (outer, inner) = (before, scanner.at),
                    MAX_DEPTH => return Err(XmlError::Invalid),
                    _ => {}
                }
                if !closed {
                    open.push(name);
                    continue;
                }
                (name, inner)
            }
            Token::End(name) if open.pop() == Some(name) => (name, before),
            Token::End(_) => return Err(XmlError::Invalid),
            Token::Text(_) | Token::Data(_) => continue,
        };
        if open.is_empty() {
            break;
        } else if open.len() == 1 {
            let part = |range| text.get(range).unwrap_or_default();
            children.push(Child { name, outer: part(outer..scanner.at), inner: part(inner..end) });
        }
    }
    scanner.end()?;
    Ok((root, children))
}

/// Escapes `text` for the content of an element.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Progress along the path: the number of open elements that match it.
struct Search<'p> {
    steps: Vec<&'p str>,
    seen: Vec<bool>,
    on_path: usize,
}

impl Search<'_> {
    fn is_found(&self) -> bool {
        self.on_path == self.steps.len()
    }

    /// Returns true if the element that opens inside `depth` others is the next step of the path.
    fn enter(&mut self, name: &str, depth: usize) -> Result<bool, XmlError> {
        let is_next = depth == self.on_path + 1 && self.steps.get(self.on_path) == Some(&name);
        let Some(seen) = self.seen.get_mut(self.on_path).filter(|_| is_next) else { return Ok(false) };
        if std::mem::replace(seen, true) {
            return Err(XmlError::Duplicate);
        }
        self.on_path += 1;
        Ok(true)
    }

    fn leave(&mut self) {
        self.on_path -= 1;
    }
}

enum Token<'t> {
    Start {
        name: &'t str,
        closed: bool,
    },
    End(&'t str),
    /// Text, with its entities unresolved.
    Text(&'t str),
    /// Content of a CDATA section, which has no entities.
    Data(&'t str),
}

struct Scanner<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Scanner<'t> {
    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Takes the text before `end`, and skips `end`.
    fn until(&mut self, end: &str) -> Result<&'t str, XmlError> {
        let (taken, _) = self.rest().split_once(end).ok_or(XmlError::Invalid)?;
        self.at += taken.len() + end.len();
        Ok(taken)
    }

    fn skip(&mut self, start: &str) -> bool {
        let is_there = self.rest().starts_with(start);
        self.at += if is_there { start.len() } else { 0 };
        is_there
    }

    fn spaces(&mut self) -> bool {
        let rest = self.rest();
        let spaces =
            rest.len() - rest.trim_start_matches(|c: char| u8::try_from(c).is_ok_and(is_space)).len();
        self.at += spaces;
        spaces > 0
    }

    fn name(&mut self) -> Result<&'t str, XmlError> {
        let rest = self.rest();
        let is_name = |c: char| c.is_alphanumeric() || "_:-.".contains(c);
        let name = rest.get(..rest.find(|c| !is_name(c)).unwrap_or(rest.len())).unwrap_or_default();
        if !name.starts_with(|c: char| c.is_alphabetic() || c == '_') {
            return Err(XmlError::Invalid);
        }
        self.at += name.len();
        Ok(name)
    }

    /// Skips the declaration `<?xml … ?>`, which is only allowed at the very start.
    fn declaration(&mut self) -> Result<(), XmlError> {
        if self.skip("<?xml ") {
            let declared = self.until("?>")?;
            // Readers that follow the declaration would see other text.
            let coding = declared.split_once("encoding").and_then(|(_, rest)| rest.split(['"', '\'']).nth(1));
            let coding = coding.unwrap_or("utf-8");
            if !["utf-8", "us-ascii"].iter().any(|known| coding.eq_ignore_ascii_case(known)) {
                return Err(XmlError::Invalid);
            }
        }
        self.spaces();
        if self.rest().starts_with('<') { Ok(()) } else { Err(XmlError::Invalid) }
    }

    fn next(&mut self, before_root: bool) -> Result<Token<'t>, XmlError> {
        if self.skip("</") {
            let name = self.name()?;
            self.spaces();
            return if self.skip(">") { Ok(Token::End(name)) } else { Err(XmlError::Invalid) };
        }
        if !before_root && self.skip("<![CDATA[") {
            return self.until("]]>").map(Token::Data);
        }
        if self.skip("<") {
            let name = self.name()?;
            let closed = self.attributes()?;
            return Ok(Token::Start { name, closed });
        }
        let rest = self.rest();
        let text = rest.split_once('<').map(|(text, _)| text).ok_or(XmlError::Invalid)?;
        self.at += text.len();
        Ok(Token::Text(text))
    }

    /// Checks that only white space follows the root.
    fn end(&self) -> Result<(), XmlError> {
        if self.rest().bytes().all(is_space) { Ok(()) } else { Err(XmlError::Invalid) }
    }

    /// Skips the attributes, which are not part of any field. Returns true if the tag also closes the
    /// element.
    fn attributes(&mut self) -> Result<bool, XmlError> {
        loop {
            let spaced = self.spaces();
            if self.skip("/>") {
                return Ok(true);
            }
            if self.skip(">") {
                return Ok(false);
            }
            if !spaced {
                return Err(XmlError::Invalid);
            }
            self.name()?;
            let quote = ["=\"", "='"].into_iter().find(|start| self.skip(start)).ok_or(XmlError::Invalid)?;
            if self.until(&quote[1..])?.contains('<') {
                return Err(XmlError::Invalid);
            }
        }
    }
}

/// Resolves the entities in a text.
pub(crate) fn unescape(text: &str) -> Result<String, XmlError> {
    let mut parts = text.split('&');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (entity, rest) = part.split_once(';').ok_or(XmlError::Invalid)?;
        out.push(match entity {
            "lt" => '<',
            "gt" => '>',
            "amp" => '&',
            "quot" => '"',
            "apos" => '\'',
            _ => return Err(XmlError::Invalid),
        });
        out.push_str(rest);
    }
    if text.contains("]]>") { Err(XmlError::Invalid) } else { Ok(out) }
}

const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

#[cfg(test)]
#[path = "xml_tests.rs"]
mod tests;
