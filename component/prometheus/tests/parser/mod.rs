//! A strict little reader of the two text formats, written for the tests from the grammar, not from the writer.

/// What a line says.
#[derive(Debug, PartialEq)]
pub(crate) enum Line {
    Help(String, String),
    Type(String, String),
    Sample { name: String, labels: Vec<(String, String)>, bits: u64, millis: Option<i64> },
    Eof,
}

/// Reads a whole exposition; panics on anything that the grammar does not allow.
pub(crate) fn parse(text: &str, open: bool) -> Vec<Line> {
    assert!(text.ends_with('\n'), "the last line is not ended");
    text.strip_suffix('\n').unwrap().split('\n').map(|line| Cursor { rest: line, open }.line()).collect()
}

struct Cursor<'a> {
    rest: &'a str,
    open: bool,
}

impl Cursor<'_> {
    fn line(mut self) -> Line {
        if self.rest == "# EOF" {
            return Line::Eof;
        }
        if self.eat("# HELP ") {
            let name = self.name();
            self.expect(" ");
            let quotes = self.open;
            return Line::Help(name, unescape(self.rest, quotes));
        }
        if self.eat("# TYPE ") {
            let name = self.name();
            self.expect(" ");
            return Line::Type(name, self.rest.to_owned());
        }
        self.sample()
    }

    fn sample(mut self) -> Line {
        let mut name = String::new();
        let mut labels = Vec::new();
        if !self.rest.starts_with('{') {
            name = self.bare();
        }
        if self.eat("{") {
            if name.is_empty() {
                name = self.quoted();
            } else {
                labels.push(self.label());
            }
            while self.eat(",") {
                labels.push(self.label());
            }
            self.expect("}");
        }
        self.expect(" ");
        let mut parts = self.rest.split(' ');
        let value = match parts.next().unwrap() {
            "+Inf" => f64::INFINITY,
            "-Inf" => f64::NEG_INFINITY,
            number => {
                assert!(number == "NaN" || !number.contains(['i', 'I', 'N']), "{number}");
                number.parse().unwrap()
            }
        };
        let millis = parts.next().map(|time| if self.open { millis(time) } else { time.parse().unwrap() });
        assert_eq!(parts.next(), None);
        Line::Sample { name, labels, bits: value.to_bits(), millis }
    }

    fn label(&mut self) -> (String, String) {
        let name = self.name();
        self.expect("=");
        (name, self.quoted())
    }

    fn name(&mut self) -> String {
        if self.rest.starts_with('"') { self.quoted() } else { self.bare() }
    }

    fn bare(&mut self) -> String {
        let legal = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        let end = self.rest.find(|c| !legal(c)).unwrap_or(self.rest.len());
        assert!(end > 0, "no name at {:?}", self.rest);
        let (name, rest) = self.rest.split_at(end);
        self.rest = rest;
        name.to_owned()
    }

    fn quoted(&mut self) -> String {
        self.expect("\"");
        let mut escaped = false;
        let end = self.rest.find(|c| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        });
        let (inside, rest) = self.rest.split_at(end.expect("a closing quote"));
        self.rest = &rest[1..];
        unescape(inside, true)
    }

    fn eat(&mut self, prefix: &str) -> bool {
        let rest = self.rest.strip_prefix(prefix);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn expect(&mut self, prefix: &str) {
        assert!(self.eat(prefix), "expected {prefix:?} at {:?}", self.rest);
    }
}

fn unescape(text: &str, quotes: bool) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        assert!(!(quotes && c == '"'), "a bare quote in {text:?}");
        out.push(match c {
            '\\' => match chars.next() {
                Some('n') => '\n',
                Some('\\') => '\\',
                Some('"') if quotes => '"',
                other => panic!("an unknown escape {other:?} in {text:?}"),
            },
            c => c,
        });
    }
    out
}

/// Seconds with up to three decimals, without going through a float.
fn millis(seconds: &str) -> i64 {
    let (sign, digits) = seconds.strip_prefix('-').map_or((1, seconds), |digits| (-1, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    assert!(fraction.len() <= 3, "{seconds}");
    sign * format!("{whole}{fraction:0<3}").parse::<i64>().unwrap()
}
