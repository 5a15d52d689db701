//! Who may come in: `Authorization: Basic` against two tables, slow hashes checked once and apart.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use http::request::Parts;
use sha2::{Digest, Sha256};
use steadyline_component::{Refusal, ServerAuthenticator, async_trait};
use steadyline_config::Secret;
use steadyline_http::WatchedSecret;
use subtle::ConstantTimeEq;
use thiserror::Error;
use tokio::sync::Semaphore;

use crate::Htpasswd;
use crate::htpasswd::{LineError, Password, Table};

/// How often the file is looked at.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How long a sender may wait until its slow check begins.
const PATIENCE: Duration = Duration::from_secs(10);
/// Checked in place of a user that is not there, so that time does not tell; no password has it.
const NOBODY: &str = "$2y$10$AAAAAAAAAAAAAAAAAAAAAOAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAO";

/// Authenticates incoming requests.
#[derive(Debug)]
pub(crate) struct Doorkeeper {
    inline: Arc<Table>,
    file: Option<PasswordFile>,
    /// What bcrypt has said yes to: a digest of the password by user. Never more than there are users.
    known: Mutex<HashMap<String, [u8; 32]>>,
    /// One slow check at a time: strangers cannot take more than one core.
    slow: Semaphore,
}

#[derive(Debug)]
struct PasswordFile {
    path: String,
    text: WatchedSecret,
    read: Mutex<Option<Read>>,
}

#[derive(Debug)]
struct Read {
    at: Instant,
    text: Secret,
    table: Arc<Table>,
}

#[derive(Debug, Error)]
pub(crate) enum FileError {
    #[error("{0}")]
    Unreadable(String),
    #[error("`{0}`, {1}")]
    Line(String, LineError),
}

impl Doorkeeper {
    pub(crate) fn new(htpasswd: &Htpasswd) -> Result<Doorkeeper, LineError> {
        let path = htpasswd.file.clone();
        let file =
            (!path.is_empty()).then(|| PasswordFile { text: WatchedSecret::new(&path), path, read: Mutex::new(None) });
        Ok(Doorkeeper {
            inline: Arc::new(Table::parse(htpasswd.inline.expose())?),
            file,
            known: Mutex::default(),
            slow: Semaphore::new(1),
        })
    }

    /// Reads the file for the first time.
    pub(crate) fn load(&self) -> Result<(), FileError> {
        self.file.as_ref().map_or(Ok(()), |file| file.read().map(drop))
    }

    fn password(&self, user: &str) -> Result<Option<Password>, Refusal> {
        if let Some(password) = self.inline.get(user) {
            return Ok(Some(password.clone()));
        }
        let Some(file) = &self.file else { return Ok(None) };
        match file.table() {
            Ok((table, is_new)) => {
                if is_new {
                    lock(&self.known).clear();
                }
                Ok(table.get(user).cloned())
            }
            Err(_) => Err(refusal("the passwords cannot be read now")),
        }
    }

    /// Whether the password is that of the hash, as bcrypt says now or said before.
    async fn is_hashed(&self, user: &str, password: &str, hash: Secret) -> Result<bool, Refusal> {
        let digest: [u8; 32] = Sha256::digest(password.as_bytes()).into();
        if lock(&self.known).get(user).is_some_and(|known| known.ct_eq(&digest).into()) {
            return Ok(true);
        }
        let is_right = self.check(password, hash).await?;
        if is_right {
            lock(&self.known).insert(user.to_string(), digest);
        }
        Ok(is_right)
    }

    /// Asks bcrypt, when it is this check's turn.
    async fn check(&self, password: &str, hash: Secret) -> Result<bool, Refusal> {
        let busy = || refusal("too many senders are being checked, try again");
        let turn = tokio::time::timeout(PATIENCE, self.slow.acquire()).await;
        let Ok(Ok(_turn)) = turn else { return Err(busy()) };
        let password = Secret::new(password);
        let check = move || bcrypt::verify(password.expose(), hash.expose()).unwrap_or(false);
        tokio::task::spawn_blocking(check).await.map_err(|_| busy())
    }
}

#[async_trait]
impl ServerAuthenticator for Doorkeeper {
    async fn admit(&self, head: &Parts) -> Result<(), Refusal> {
        let (user, password) = credentials(head)?;
        let is_right = match self.password(&user)? {
            Some(Password::Plain(right)) => right.expose().as_bytes().ct_eq(password.as_bytes()).into(),
            Some(Password::Bcrypt(hash)) => self.is_hashed(&user, &password, hash).await?,
            None => {
                self.check(&password, Secret::new(NOBODY)).await?;
                false
            }
        };
        if is_right { Ok(()) } else { Err(refusal("the user name or the password is wrong")) }
    }
}

/// What a request says: user name and password.
fn credentials(head: &Parts) -> Result<(String, String), Refusal> {
    let value = head.headers.get(AUTHORIZATION).ok_or_else(|| refusal("a user name and a password are required"))?;
    let text = value.to_str().unwrap_or_default();
    let (scheme, encoded) = text.split_once(' ').unwrap_or((text, ""));
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(refusal("the authorization is not of the scheme `Basic`"));
    }
    let decoded = STANDARD.decode(encoded.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let pair = decoded.as_deref().and_then(|text| text.split_once(':'));
    let (user, password) = pair.ok_or_else(|| refusal("the authorization is not `user:password` in base64"))?;
    Ok((user.to_string(), password.to_string()))
}

fn refusal(message: &'static str) -> Refusal {
    Refusal { message, challenge: Some(r#"Basic realm="steadyline", charset="UTF-8""#.into()) }
}

impl PasswordFile {
    /// The table now, and whether it is another one than before.
    fn table(&self) -> Result<(Arc<Table>, bool), FileError> {
        if let Some(read) = &*lock(&self.read)
            && read.at.elapsed() < LOOK_AGAIN
        {
            return Ok((Arc::clone(&read.table), false));
        }
        self.read()
    }

    fn read(&self) -> Result<(Arc<Table>, bool), FileError> {
        let text = self.text.get().map_err(|error| FileError::Unreadable(error.message))?;
        let mut read = lock(&self.read);
        if let Some(read) = read.as_mut().filter(|read| read.text == text) {
            read.at = Instant::now();
            return Ok((Arc::clone(&read.table), false));
        }
        match (Table::parse(text.expose()), &mut *read) {
            (Ok(table), read) => {
                let table = Arc::new(table);
                *read = Some(Read { at: Instant::now(), text, table: Arc::clone(&table) });
                Ok((table, true))
            }
            (Err(error), Some(old)) => {
                tracing::warn!("`{}`, {error}; the old passwords stay in force", self.path);
                (old.at, old.text) = (Instant::now(), text);
                Ok((Arc::clone(&old.table), false))
            }
            (Err(error), None) => Err(FileError::Line(self.path.clone(), error)),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobodys_hash_is_one_that_takes_its_time() {
        assert_eq!(NOBODY.parse::<bcrypt::HashParts>().unwrap().get_cost(), 10);
        assert!(!bcrypt::verify("", NOBODY).unwrap());
    }

    #[tokio::test]
    async fn a_changed_file_counts_and_what_was_known_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("htpasswd");
        let hash = |password: &str| bcrypt::hash(password, 4).unwrap();
        std::fs::write(&path, format!("a:{}", hash("first"))).unwrap();
        let keeper = Doorkeeper::new(&Htpasswd { file: path.display().to_string(), ..Htpasswd::default() }).unwrap();
        let admits = async |password: &str| {
            let (mut head, ()) = http::Request::new(()).into_parts();
            let text = format!("Basic {}", STANDARD.encode(format!("a:{password}")));
            head.headers.insert(AUTHORIZATION, text.parse().unwrap());
            keeper.admit(&head).await.is_ok()
        };
        assert!(admits("first").await && admits("first").await && !admits("second!").await);
        for (text, first, second) in
            [(format!("a:{}", hash("second!")) + "\n", false, true), ("not a table at all".to_string(), false, true)]
        {
            std::fs::write(&path, text).unwrap();
            // As if a while had passed since the last look.
            let file = keeper.file.as_ref().unwrap();
            lock(&file.read).as_mut().unwrap().at -= LOOK_AGAIN;
            assert_eq!((admits("first").await, admits("second!").await), (first, second));
        }
    }
}
