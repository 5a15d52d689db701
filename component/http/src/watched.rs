//! A secret in a file that somebody else renews: read when first needed, and again when the file has changed.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use steadyline_component::AuthError;
use steadyline_config::Secret;

/// The text of a file, without white space around it. Looks at the file's time and size at every use.
#[derive(Debug)]
pub struct WatchedSecret {
    path: PathBuf,
    read: Mutex<Option<(Stamp, Secret)>>,
}

type Stamp = Option<(SystemTime, u64)>;

impl WatchedSecret {
    /// A file that is not read yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        WatchedSecret { path: path.into(), read: Mutex::new(None) }
    }

    /// The text now. A file that cannot be read any more leaves in force what was read before.
    ///
    /// # Errors
    /// The file could never be read, or is empty; worth another try.
    pub fn get(&self) -> Result<Secret, AuthError> {
        let stamp = self.stamp();
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, secret)) = &*read
            && (known == &stamp && stamp.is_some())
        {
            return Ok(secret.clone());
        }
        match (self.load(), &*read) {
            (Ok(secret), _) => {
                *read = Some((stamp, secret.clone()));
                Ok(secret)
            }
            (Err(message), Some((_, old))) => {
                tracing::warn!(error = message, "a secret could not be read again; the old one stays in force");
                Ok(old.clone())
            }
            (Err(message), None) => Err(AuthError { message, retryable: true }),
        }
    }

    /// What was read was refused: read it again at the next use, also if the file looks the same.
    pub fn doubt(&self) {
        if let Some((stamp, _)) = &mut *self.read.lock().unwrap_or_else(PoisonError::into_inner) {
            *stamp = None;
        }
    }

    fn stamp(&self) -> Stamp {
        let metadata = std::fs::metadata(&self.path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    }

    fn load(&self) -> Result<Secret, String> {
        let path = self.path.display();
        let text = std::fs::read_to_string(&self.path).map_err(|error| format!("cannot read `{path}`: {error}"))?;
        match text.trim() {
            "" => Err(format!("`{path}` is empty")),
            text => Ok(Secret::new(text)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_renewed_file_is_read_again_and_a_lost_one_keeps_its_text() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let secret = WatchedSecret::new(&path);
        let error = secret.get().unwrap_err();
        assert!(error.retryable && error.message.contains("cannot read"), "{error}");
        for (written, expected) in [("one\n", "one"), (" longer ", "longer"), ("\n", "longer")] {
            std::fs::write(&path, written).unwrap();
            assert_eq!(secret.get().unwrap().expose(), expected);
        }
        std::fs::remove_file(&path).unwrap();
        assert_eq!(secret.get().unwrap().expose(), "longer");
    }

    #[test]
    fn a_refused_secret_is_read_again_even_if_the_file_looks_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "aaa").unwrap();
        let modified = std::fs::metadata(&path).unwrap().modified().unwrap();
        let secret = WatchedSecret::new(&path);
        assert_eq!(secret.get().unwrap().expose(), "aaa");
        std::fs::write(&path, "bbb").unwrap();
        std::fs::File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
        assert_eq!(secret.get().unwrap().expose(), "aaa");
        secret.doubt();
        assert_eq!(secret.get().unwrap().expose(), "bbb");
    }
}
