//! A way through a text that is known to be JSON.
//!
//! serde_json has read the text from end to end before a cursor is put on it. So the cursor only has to find
//! where things begin and end, which is what serde_json does not tell: a number as it was written, a member's
//! second coming, the place of each.

/// Where in a text the reading is. Whatever the text is, it comes to the end and does not fail.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'a> {
    text: &'a str,
    pub(super) at: usize,
}

/// What stands at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    Null,
    Bool,
    Number,
    Text,
    List,
    Object,
}

impl<'a> Cursor<'a> {
    pub(super) const fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// What was passed since a place.
    pub(super) fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    /// Goes to the next byte that means something.
    pub(super) fn settle(&mut self) {
        while self.byte().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    /// The form of the value that begins here.
    pub(super) fn start(&mut self) -> Start {
        self.settle();
        match self.byte() {
            Some(b'"') => Start::Text,
            Some(b'{') => Start::Object,
            Some(b'[') => Start::List,
            Some(b't' | b'f') => Start::Bool,
            Some(b'n') | None => Start::Null,
            Some(_) => Start::Number,
        }
    }

    /// Passes a scalar and gives it as it was written, a text with its quotes.
    pub(super) fn scalar(&mut self) -> &'a str {
        self.settle();
        let start = self.at;
        if self.byte() == Some(b'"') {
            self.pass_text();
        } else {
            while self
                .byte()
                .is_some_and(|byte| !matches!(byte, b',' | b']' | b'}') && !byte.is_ascii_whitespace())
            {
                self.at += 1;
            }
        }
        self.since(start)
    }

    fn pass_text(&mut self) {
        self.at += 1;
        while let Some(byte) = self.byte() {
            self.at += 1;
            match byte {
                b'"' => return,
                // Whatever is escaped ends no text.
                b'\\' => self.at += 1,
                _ => {}
            }
        }
    }

    /// Passes a value, however deep it is.
    pub(super) fn skip(&mut self) {
        self.settle();
        let mut open = 0_usize;
        while let Some(byte) = self.byte() {
            match byte {
                b'"' => self.pass_text(),
                b'{' | b'[' => {
                    open += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    open = open.saturating_sub(1);
                    self.at += 1;
                }
                b',' | b':' | b' ' | b'\t' | b'\n' | b'\r' => {
                    self.at += 1;
                    continue;
                }
                _ => {
                    self.scalar();
                }
            }
            if open == 0 {
                return;
            }
        }
    }

    /// Enters a list or an object.
    pub(super) fn enter(&mut self) {
        self.settle();
        self.at += 1;
    }

    /// Goes to the next element or member, or leaves the list or object.
    pub(super) fn next(&mut self) -> bool {
        self.settle();
        if self.byte() == Some(b',') {
            self.at += 1;
            self.settle();
        }
        match self.byte() {
            Some(b']' | b'}') => {
                self.at += 1;
                false
            }
            other => other.is_some(),
        }
    }

    /// Passes a member's name and gives it as it was written, with its quotes.
    pub(super) fn name(&mut self) -> &'a str {
        let name = self.scalar();
        self.settle();
        if self.byte() == Some(b':') {
            self.at += 1;
        }
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_and_elements_come_as_they_were_written() {
        let text = r#" { "a\"}" : [ 1.50 , "]" ,{"x":[[]]}, null ] ,"b":true } "#;
        let mut cursor = Cursor::new(text);
        assert_eq!(cursor.start(), Start::Object);
        cursor.enter();
        assert!(cursor.next());
        assert_eq!(cursor.name(), r#""a\"}""#);
        assert_eq!(cursor.start(), Start::List);
        cursor.enter();
        assert!(cursor.next() && cursor.start() == Start::Number);
        assert_eq!(cursor.scalar(), "1.50");
        assert!(cursor.next());
        assert_eq!(cursor.scalar(), "\"]\"");
        assert!(cursor.next());
        let start = cursor.at;
        cursor.skip();
        assert_eq!(cursor.since(start), r#"{"x":[[]]}"#);
        assert!(cursor.next() && cursor.start() == Start::Null);
        cursor.skip();
        assert!(!cursor.next());
        assert!(cursor.next());
        assert_eq!((cursor.name(), cursor.start()), ("\"b\"", Start::Bool));
        cursor.skip();
        assert!(!cursor.next());
        assert_eq!(cursor.since(0).len() + 1, text.len());
    }

    #[test]
    fn what_is_no_json_ends_all_the_same() {
        for text in ["", "[", "{", "\"", "\"\\", "[[", "{\"a", "{\"a\":", "}", ",", "[1,", "nul", "\u{e9}"] {
            let mut cursor = Cursor::new(text);
            cursor.skip();
            let mut cursor = Cursor::new(text);
            cursor.enter();
            while cursor.next() {
                let before = cursor.at;
                cursor.name();
                cursor.skip();
                if cursor.at == before {
                    break;
                }
            }
            assert!(cursor.since(0).len() <= text.len());
        }
    }
}
