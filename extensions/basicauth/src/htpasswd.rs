//! The htpasswd format: `user:password` a line, the password hashed by bcrypt or as it is.

use std::collections::HashMap;

use bcrypt::HashParts;
use steadyline_config::Secret;
use thiserror::Error;

/// The most expensive hash that is taken: about a second of one core.
const MAX_COST: u32 = 14;

/// Users and their passwords.
#[derive(Debug, Default)]
pub(crate) struct Table(HashMap<String, Password>);

/// A password as it is kept.
#[derive(Debug, Clone)]
pub(crate) enum Password {
    /// As it is.
    Plain(Secret),
    /// A bcrypt hash.
    Bcrypt(Secret),
}

/// A line that cannot be used. Never shows a password.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line}: {what}")]
pub(crate) struct LineError {
    line: usize,
    what: String,
}

impl Table {
    /// Reads a text.
    ///
    /// # Errors
    /// The first line that cannot be used.
    pub(crate) fn parse(text: &str) -> Result<Table, LineError> {
        let mut table = HashMap::new();
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = |what: &str| LineError { line: at + 1, what: what.to_string() };
            let (user, password) = line.split_once(':').ok_or_else(|| wrong("expected `user:password`"))?;
            let password = Password::parse(password).map_err(|what| wrong(&format!("user `{user}`: {what}")))?;
            if user.is_empty() {
                return Err(wrong("there is no user before the `:`"));
            }
            if table.insert(user.to_string(), password).is_some() {
                return Err(wrong(&format!("the user `{user}` is there already")));
            }
        }
        Ok(Table(table))
    }

    /// A user's password.
    pub(crate) fn get(&self, user: &str) -> Option<&Password> {
        self.0.get(user)
    }
}

impl Password {
    fn parse(text: &str) -> Result<Password, &'static str> {
        let begins = |prefixes: &[&str]| prefixes.iter().any(|prefix| text.starts_with(prefix));
        if text.is_empty() {
            return Err("the password is empty");
        }
        if begins(&["$2a$", "$2b$", "$2x$", "$2y$"]) {
            let hash: HashParts = text.parse().map_err(|_| "this is not a whole bcrypt hash")?;
            return match hash.get_cost() > MAX_COST {
                true => Err("the cost of the bcrypt hash is above 14; every check would take seconds"),
                false => Ok(Password::Bcrypt(Secret::new(text))),
            };
        }
        if begins(&["$apr1$", "$1$", "$5$", "$6$", "$y$", "$argon2", "{SHA}", "{SSHA}"]) {
            return Err("this kind of hash is not supported; make a bcrypt hash by `htpasswd -B`");
        }
        Ok(Password::Plain(Secret::new(text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "$2y$04$AAAAAAAAAAAAAAAAAAAAAOw7lEEkqP/0AukpN0WkpGsbNjxWpkWRO";

    #[test]
    fn lines_are_users_and_the_rest_is_nothing() {
        let table = Table::parse(&format!("# senders\n\n a:b:c \r\nd:{HASH}\n")).unwrap();
        assert!(matches!(table.get("a"), Some(Password::Plain(text)) if text.expose() == "b:c"));
        assert!(matches!(table.get("d"), Some(Password::Bcrypt(_))));
        assert!(table.get("#").is_none() && table.get("").is_none());
    }

    #[test]
    fn lines_that_cannot_be_used_are_named_without_their_password() {
        let costly = HASH.replace("$04$", "$20$");
        for (text, expected) in [
            ("a:b\nhidden", "line 2: expected `user:password`"),
            (":hidden", "line 1: there is no user"),
            ("a:", "line 1: user `a`: the password is empty"),
            ("a:hidden1\na:hidden2", "line 2: the user `a` is there already"),
            ("a:$2y$04$hidden", "not a whole bcrypt hash"),
            (&format!("a:{costly}"), "above 14"),
            ("a:$apr1$hidden$x", "htpasswd -B"),
            ("a:{SHA}hidden", "htpasswd -B"),
        ] {
            let error = Table::parse(text).unwrap_err().to_string();
            assert!(error.contains(expected) && !error.contains("hidden"), "{text}: {error}");
        }
    }
}
