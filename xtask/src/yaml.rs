//! YAML as CloudFormation writes it: texts, lists and maps, with the lines and tags that a finding needs.

use saphyr_parser::{Event, Parser, StrInput, Tag};

/// A value and where it begins.
#[derive(Debug)]
pub(crate) struct Node {
    /// From 1.
    pub line: usize,
    /// Such as `!Sub`; YAML's own (`!!str`) are left out.
    pub tag: Option<String>,
    pub value: Value,
}

#[derive(Debug)]
pub(crate) enum Value {
    /// Numbers and booleans as they were written.
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Debug)]
pub(crate) struct Entry {
    pub key: String,
    /// The key's, from 1.
    pub line: usize,
    pub value: Node,
}

/// Why a text is not what we read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub line: usize,
    pub what: String,
}

impl Node {
    /// The entries of a map; none of anything else.
    pub(crate) fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// Every map in it, itself included.
    pub(crate) fn maps(&self) -> Vec<&Self> {
        match &self.value {
            Value::Text(_) => Vec::new(),
            Value::List(items) => items.iter().flat_map(Self::maps).collect(),
            Value::Map(entries) => {
                std::iter::once(self).chain(entries.iter().flat_map(|entry| entry.value.maps())).collect()
            }
        }
    }
}

/// Reads one document. A key that stands twice in a map is a fault, because CloudFormation takes the last one silently;
/// so is an alias, which it does not know.
pub(crate) fn parse(text: &str) -> Result<Node, Fault> {
    let mut reader = Reader { events: Parser::new_from_str(text), line: 1 };
    loop {
        match reader.next()? {
            Event::StreamStart | Event::DocumentStart(_) => {}
            Event::StreamEnd => return Err(reader.fault("expected a document")),
            event => return reader.node(event),
        }
    }
}

struct Reader<'a> {
    events: Parser<'a, StrInput<'a>>,
    /// Where the latest event began.
    line: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<Event<'a>, Fault> {
        match self.events.next_event() {
            Some(Ok((event, span))) => {
                self.line = span.start.line();
                Ok(event)
            }
            Some(Err(error)) => Err(Fault { line: error.marker().line(), what: error.info().to_owned() }),
            None => Err(self.fault("expected more")),
        }
    }

    fn fault(&self, what: impl Into<String>) -> Fault {
        Fault { line: self.line, what: what.into() }
    }

    /// The value that begins with this event.
    fn node(&mut self, event: Event<'a>) -> Result<Node, Fault> {
        let line = self.line;
        let (tag, value) = match event {
            Event::Scalar(text, _, _, tag) => (tag, Value::Text(text.into_owned())),
            Event::SequenceStart(_, tag) => (tag, Value::List(self.items()?)),
            Event::MappingStart(_, tag) => (tag, Value::Map(self.entries()?)),
            Event::Alias(_) => return Err(self.fault("expected no alias: CloudFormation knows none")),
            _ => return Err(self.fault("expected a value")),
        };
        let tag = tag.filter(|tag| !tag.is_yaml_core_schema()).map(|tag| Tag::to_string(&tag));
        Ok(Node { line, tag, value })
    }

    fn items(&mut self) -> Result<Vec<Node>, Fault> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                Event::SequenceEnd => return Ok(items),
                event => items.push(self.node(event)?),
            }
        }
    }

    fn entries(&mut self) -> Result<Vec<Entry>, Fault> {
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            let event = self.next()?;
            let line = self.line;
            let key = match event {
                Event::MappingEnd => return Ok(entries),
                Event::Scalar(text, ..) => text.into_owned(),
                _ => return Err(self.fault("expected a text as the key")),
            };
            if entries.iter().any(|entry| entry.key == key) {
                return Err(self.fault(format!("`{key}` stands twice: expected it once")));
            }
            let event = self.next()?;
            entries.push(Entry { key, line, value: self.node(event)? });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_tags_are_kept() {
        let text =
            "# A comment\nA:\n  B: !Sub ${C}-d\n\n  E: [1, !Ref F]\n  G: !If\n    - H\n    - I: 'true'\n    - x\n";
        let root = parse(text).unwrap();
        let a = root.entry("A").unwrap();
        assert_eq!((a.line, a.value.line), (2, 3));
        let b = a.value.get("B").unwrap();
        assert_eq!((word(b), b.tag.as_deref(), b.line), ("${C}-d", Some("!Sub"), 3));
        let Value::List(items) = &a.value.get("E").unwrap().value else { panic!("a list") };
        assert_eq!((word(&items[0]), items[0].tag.as_deref()), ("1", None));
        assert_eq!((word(&items[1]), items[1].tag.as_deref()), ("F", Some("!Ref")));
        let choice = a.value.get("G").unwrap();
        assert_eq!(choice.tag.as_deref(), Some("!If"));
        assert_eq!(root.maps().len(), 3, "the document, A's and I's");
    }

    #[test]
    fn what_cloudformation_would_take_otherwise_is_a_fault() {
        let line = |text: &str| parse(text).unwrap_err().line;
        assert_eq!(parse("A: 1\nB: 2\nA: 3\n").unwrap_err().what, "`A` stands twice: expected it once");
        assert_eq!(line("A: 1\nB: 2\nA: 3\n"), 3);
        assert_eq!(line("A: &a 1\nB: *a\n"), 2);
        assert_eq!(line("A: 1\n  B: 2\n"), 2);
        assert_eq!(parse("").unwrap_err().what, "expected a document");
    }

    fn word(node: &Node) -> &str {
        match &node.value {
            Value::Text(text) => text,
            _ => panic!("a text"),
        }
    }
}
