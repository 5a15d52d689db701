//! From tokens to expressions, by recursive descent: `or` binds loosest, then `and`, then `not`.

use regex::Regex;

use super::eval::{Comparison, Expr, Operand};
use super::lex::{Placed, Token, lex};
use super::path::{Path, field};
use super::{Context, OttlError};
use crate::matching::severity_number;
use crate::value::Fixed;
use steadyline_telemetry::Value;

/// Parentheses and `not` inside each other.
const MAX_DEPTH: usize = 64;

/// Functions of OTTL that change data, to be told from those that give a value.
const EDITORS: [&str; 12] = [
    "append",
    "delete_key",
    "delete_keys",
    "delete_matching_keys",
    "flatten",
    "keep_keys",
    "keep_matching_keys",
    "limit",
    "merge_maps",
    "replace_pattern",
    "set",
    "truncate_all",
];

type Result<T> = std::result::Result<T, OttlError>;

/// Parses a condition. Without a context, every path must say its own; the lowest is returned.
pub(super) fn parse(text: &str, context: Option<Context>) -> Result<(Expr, Context)> {
    let tokens = lex(text)?;
    let mut parser = Parser { tokens, at: 0, context, lowest: Context::Resource, depth: 0 };
    let expr = parser.or()?;
    match parser.peek() {
        Token::End => Ok((expr, context.unwrap_or(parser.lowest))),
        Token::Sign("+" | "-" | "*" | "/") => parser.fail("arithmetic is not supported yet"),
        _ => {
            let found = parser.found();
            parser.fail(format!("expected `and`, `or` or the end, found {found}"))
        }
    }
}

struct Parser {
    tokens: Vec<Placed>,
    at: usize,
    context: Option<Context>,
    lowest: Context,
    depth: usize,
}

impl Parser {
    fn or(&mut self) -> Result<Expr> {
        let mut any = vec![self.and()?];
        while self.word("or") {
            any.push(self.and()?);
        }
        Ok(if any.len() == 1 { any.remove(0) } else { Expr::Or(any) })
    }

    fn and(&mut self) -> Result<Expr> {
        let mut all = vec![self.not()?];
        while self.word("and") {
            all.push(self.not()?);
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Expr::And(all) })
    }

    fn not(&mut self) -> Result<Expr> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return self.fail("the condition nests too deep");
        }
        let expr = if self.word("not") { Expr::Not(Box::new(self.not()?)) } else { self.primary()? };
        self.depth -= 1;
        Ok(expr)
    }

    fn primary(&mut self) -> Result<Expr> {
        if self.sign("(") {
            let inner = self.or()?;
            self.expect(")")?;
            return Ok(inner);
        }
        let start = self.at;
        match self.peek() {
            Token::End => return self.fail("expected a condition, found the end"),
            Token::Word(name) if *self.peek_second() == Token::Sign("(") => {
                let name = name.clone();
                let answer = self.function(&name)?;
                return self.compared(answer);
            }
            Token::Word(name) if matches!(&**name, "true" | "false") => {
                let value = name == "true";
                self.at += 1;
                if !self.at_comparison() {
                    return Ok(Expr::Always(value));
                }
                self.at = start;
            }
            _ => {}
        }
        let left = self.operand()?;
        let Token::Sign(sign) = *self.peek() else {
            let found = self.found();
            return self.fail(format!("expected a comparison, found {found}"));
        };
        let Some(comparison) = Comparison::from_sign(sign) else {
            return self.fail(match sign {
                "=" => "expected `==`".to_owned(),
                "+" | "-" | "*" | "/" => "arithmetic is not supported yet".to_owned(),
                _ => format!("expected a comparison, found `{sign}`"),
            });
        };
        self.at += 1;
        let right = self.operand()?;
        Ok(Expr::Compare(left, comparison, right))
    }

    /// What a function says, perhaps compared with `true` or `false`.
    fn compared(&mut self, answer: Expr) -> Result<Expr> {
        let equal = match self.peek() {
            Token::Sign("==") => true,
            Token::Sign("!=") => false,
            _ => return Ok(answer),
        };
        self.at += 1;
        let wanted = match self.peek() {
            Token::Word(word) if word == "true" => true,
            Token::Word(word) if word == "false" => false,
            _ => return self.expected("`true` or `false`"),
        };
        self.at += 1;
        Ok(if wanted == equal { answer } else { Expr::Not(Box::new(answer)) })
    }

    fn function(&mut self, name: &str) -> Result<Expr> {
        match name {
            "IsMatch" => {
                self.at += 2;
                let operand = self.operand()?;
                self.expect(",")?;
                let column = self.column();
                let pattern = self.text("a regular expression in quotes")?;
                self.expect(")")?;
                let regex = Regex::new(&pattern).map_err(|error| {
                    let message = format!("not a regular expression: {}", crate::one_line(&error));
                    OttlError { column, message }
                })?;
                Ok(Expr::IsMatch(operand, regex))
            }
            "HasAttrKeyOnDatapoint" | "HasAttrOnDatapoint" => {
                if self.context.is_some_and(|context| context != Context::Metric) {
                    return self.fail(format!("`{name}` is about the points of a metric"));
                }
                self.sees(Context::Metric, self.column())?;
                self.at += 2;
                let key = self.text("a key in quotes")?;
                let value = match name {
                    "HasAttrOnDatapoint" => {
                        self.expect(",")?;
                        Some(self.text("a value in quotes")?)
                    }
                    _ => None,
                };
                self.expect(")")?;
                Ok(Expr::OnDatapoint { key, value })
            }
            _ if EDITORS.contains(&name) => {
                self.fail(format!("`{name}` changes data: statements are not supported yet"))
            }
            _ => self.fail(format!("the function `{name}` is not supported yet")),
        }
    }

    fn operand(&mut self) -> Result<Operand> {
        let literal = |value: Value<'_>| Operand::Literal(Fixed::new(value));
        let operand = match self.peek() {
            Token::Text(text) => literal(Value::text(text)),
            Token::Int(int) => literal(Value::Int(*int)),
            Token::Float(float) => literal(Value::Double(*float)),
            Token::Word(word) => match &**word {
                "nil" => literal(Value::Empty),
                "true" => literal(Value::Bool(true)),
                "false" => literal(Value::Bool(false)),
                "and" | "or" | "not" => return self.expected("a value"),
                name if *self.peek_second() == Token::Sign("(") => {
                    return self.fail(format!("the function `{name}` is not supported yet"));
                }
                name if name.contains(|c: char| c.is_ascii_uppercase()) => match enumerated(name) {
                    Some(number) => literal(Value::Int(number)),
                    None => return self.fail(format!("unknown name `{name}`")),
                },
                _ => return self.path().map(Operand::Path),
            },
            Token::Sign("[" | "{") => return self.fail("lists and maps are not supported yet"),
            Token::Sign(_) | Token::End => return self.expected("a value"),
        };
        self.at += 1;
        Ok(operand)
    }

    fn path(&mut self) -> Result<Path> {
        let column = self.column();
        let wrong = |message: String| Err(OttlError { column, message });
        let mut words = vec![self.any_word()?];
        while self.sign(".") {
            words.push(self.any_word()?);
        }
        let key = self.key()?;
        let own = (words.len() > 1).then(|| Context::from_name(&words[0])).flatten();
        let context = match (own, self.context) {
            (Some(own), _) => {
                words.remove(0);
                own
            }
            (None, Some(context)) => context,
            (None, None) => {
                let path = words.join(".");
                return wrong(format!("say what `{path}` is about: `metric.{path}`, `span.{path}`, ..."));
            }
        };
        self.sees(context, column)?;
        match field(context, &words.join("."), key) {
            Ok(field) => Ok(Path { context, field }),
            Err(message) => wrong(message),
        }
    }

    /// Checks that the condition may speak of a context; where none was given, the lowest that it speaks of is noted.
    fn sees(&mut self, context: Context, column: usize) -> Result<()> {
        let message = match self.context {
            Some(about) if about.sees(context) => return Ok(()),
            Some(about) => format!("a condition about a {} does not see `{}`", about.name(), context.name()),
            None if context.sees(self.lowest) => {
                self.lowest = context;
                return Ok(());
            }
            None if self.lowest.sees(context) => return Ok(()),
            None => {
                let (one, other) = (context.name(), self.lowest.name());
                format!("`{one}` and `{other}` do not go together in one condition")
            }
        };
        Err(OttlError { column, message })
    }

    fn key(&mut self) -> Result<Option<String>> {
        if !self.sign("[") {
            return Ok(None);
        }
        let key = self.text("a key in quotes")?;
        self.expect("]")?;
        if *self.peek() == Token::Sign("[") {
            return self.fail("keys inside of values are not supported yet");
        }
        Ok(Some(key))
    }

    fn peek(&self) -> &Token {
        &self.tokens[self.at].token
    }

    fn peek_second(&self) -> &Token {
        self.tokens.get(self.at + 1).map_or(&Token::End, |placed| &placed.token)
    }

    fn column(&self) -> usize {
        self.tokens[self.at].column
    }

    fn at_comparison(&self) -> bool {
        matches!(self.peek(), Token::Sign(sign) if Comparison::from_sign(sign).is_some())
    }

    fn word(&mut self, word: &str) -> bool {
        let there = matches!(self.peek(), Token::Word(found) if found == word);
        self.at += usize::from(there);
        there
    }

    fn sign(&mut self, sign: &str) -> bool {
        let there = matches!(self.peek(), Token::Sign(found) if *found == sign);
        self.at += usize::from(there);
        there
    }

    fn any_word(&mut self) -> Result<String> {
        match self.peek() {
            Token::Word(word) => {
                let word = word.clone();
                self.at += 1;
                Ok(word)
            }
            _ => self.expected("the name of a field"),
        }
    }

    fn text(&mut self, what: &str) -> Result<String> {
        match self.peek() {
            Token::Text(text) => {
                let text = text.clone();
                self.at += 1;
                Ok(text)
            }
            _ => self.expected(what),
        }
    }

    fn expect(&mut self, sign: &str) -> Result<()> {
        if self.sign(sign) { Ok(()) } else { self.expected(&format!("`{sign}`")) }
    }

    fn expected<T>(&self, what: &str) -> Result<T> {
        self.fail(format!("expected {what}, found {}", self.found()))
    }

    /// The token at hand, for a message.
    fn found(&self) -> String {
        match self.peek() {
            Token::Word(word) => format!("`{word}`"),
            Token::Text(text) => format!("{text:?}"),
            Token::Int(int) => format!("`{int}`"),
            Token::Float(float) => format!("`{float}`"),
            Token::Sign(sign) => format!("`{sign}`"),
            Token::End => "the end".into(),
        }
    }

    fn fail<T>(&self, message: impl Into<String>) -> Result<T> {
        Err(OttlError { column: self.column(), message: message.into() })
    }
}

/// The number behind a name of OTLP's enumerations, as OTTL spells them.
fn enumerated(name: &str) -> Option<i64> {
    let at = |names: &[&str], rest: &str| names.iter().position(|name| *name == rest).map(|at| at as i64);
    if let Some(rest) = name.strip_prefix("SPAN_KIND_") {
        return at(&["UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"], rest);
    }
    if let Some(rest) = name.strip_prefix("STATUS_CODE_") {
        return at(&["UNSET", "OK", "ERROR"], rest);
    }
    if let Some(rest) = name.strip_prefix("METRIC_DATA_TYPE_") {
        return at(&["NONE", "GAUGE", "SUM", "HISTOGRAM", "EXPONENTIAL_HISTOGRAM", "SUMMARY"], rest);
    }
    if let Some(rest) = name.strip_prefix("AGGREGATION_TEMPORALITY_") {
        return at(&["UNSPECIFIED", "DELTA", "CUMULATIVE"], rest);
    }
    match name.strip_prefix("SEVERITY_NUMBER_") {
        Some("UNSPECIFIED") => Some(0),
        Some(_) => severity_number(name).map(i64::from),
        None => None,
    }
}
