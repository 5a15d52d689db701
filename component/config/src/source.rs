//! Where a config comes from: files, environment variables, inline text; and the environment that expansion reads.

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::node::Poison;

/// The largest file that is read, in bytes.
pub const MAX_FILE_BYTES: usize = 10 * 1000 * 1000;

/// One `--config`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file.
    File(PathBuf),
    /// An environment variable that holds the whole config.
    Env(String),
    /// The one-line form `yaml:a::b: c`, where `::` separates keys.
    Line(String),
    /// Text at hand, under a name of its own.
    Inline {
        /// The name that diagnostics show.
        name: String,
        /// The text.
        text: String,
    },
    /// A scheme that is not supported, such as `https`.
    Unsupported(String),
}

impl Source {
    /// Reads the argument of `--config`: a path, `file:path`, `env:X` or `yaml:a::b: c`.
    pub fn parse(argument: &str) -> Self {
        match argument.split_once(':') {
            Some(("file", path)) => Self::File(path.into()),
            Some(("env", name)) => Self::Env(name.to_owned()),
            Some(("yaml", text)) => Self::Line(text.to_owned()),
            Some(("http" | "https" | "s3" | "secretsmanager", _)) => Self::Unsupported(argument.to_owned()),
            _ => Self::File(argument.into()),
        }
    }

    /// Text at hand.
    pub fn inline(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self::Inline { name: name.into(), text: text.into() }
    }

    /// The name that diagnostics show.
    pub fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Env(name) => format!("env:{name}"),
            Self::Line(_) => "--config yaml".to_owned(),
            Self::Inline { name, .. } => name.clone(),
            Self::Unsupported(uri) => uri.clone(),
        }
    }

    /// The text of the source.
    pub(crate) fn read(&self, env: &dyn Environment) -> Result<String, Poison> {
        let text = match self {
            Self::File(path) => read_file(path)?,
            Self::Env(name) => env.var(name).ok_or_else(|| unset_source(name))?,
            Self::Line(text) | Self::Inline { text, .. } => text.clone(),
            Self::Unsupported(uri) => {
                let help = "give a path, `file:PATH`, `env:VARIABLE` or `yaml:KEY::KEY: VALUE`";
                return Err(Poison::new("unsupported-source", format!("cannot read a config from `{uri}`"), help));
            }
        };
        if text.len() > MAX_FILE_BYTES { Err(too_large(&self.name())) } else { Ok(text) }
    }
}

fn unset_source(name: &str) -> Poison {
    let help = format!("`env:{name}` reads the whole config from this variable");
    Poison::new("unset-variable", format!("environment variable {name} is not set"), help)
}

fn too_large(name: &str) -> Poison {
    let message = format!("`{name}` is larger than {} MB", MAX_FILE_BYTES / 1_000_000);
    Poison::new("file-too-large", message, "this is hardly a config; is the path right?")
}

/// Reads a file, if it is text of an acceptable size.
pub(crate) fn read_file(path: &Path) -> Result<String, Poison> {
    let name = path.display().to_string();
    let unreadable = |error: std::io::Error| {
        let message = format!("cannot read `{name}`: {}", plain_io_error(&error));
        Poison { rule: "unreadable-file", message, help: None }
    };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    // Reads no more than the limit, whatever the file says of its size.
    file.take(MAX_FILE_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() > MAX_FILE_BYTES {
        return Err(too_large(&name));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let message = format!("`{name}` is not UTF-8 text: byte {at} is not valid");
        Poison { rule: "not-text", message, help: None }
    })
}

/// The reason alone, without the number of the operating system's error.
fn plain_io_error(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "no such file".to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        std::io::ErrorKind::IsADirectory => "it is a directory".to_owned(),
        _ => error.to_string(),
    }
}

/// Where environment variables are looked up.
pub trait Environment {
    /// The variable's value, or `None` if it is not set. A variable that is set but empty is `Some("")`.
    fn var(&self, name: &str) -> Option<String>;
}

/// The environment of this process. A value that is not UTF-8 counts as unset.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    fn var(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

impl<F: Fn(&str) -> Option<String>> Environment for F {
    fn var(&self, name: &str) -> Option<String> {
        self(name)
    }
}
