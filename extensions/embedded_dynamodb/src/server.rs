//! The running table: a thread of its own with a small runtime, because the emulator blocks on
//! SQLite; it serves DynamoDB's HTTP API on loopback and plays the script.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use steadyline_component::Clock;
use tokio::sync::{mpsc, oneshot};

use crate::database::Database;
use crate::error::Error;
use crate::script::Player;
use crate::seed::Seed;

/// What an embedded table needs to start.
#[derive(Debug, Clone)]
pub struct Options {
    /// The seed file, relative to the working directory.
    pub seed: PathBuf,
    /// The port on 127.0.0.1; 0 takes any free one.
    pub port: u16,
    /// What moves the script on.
    pub pace: Pace,
}

/// What moves the script of changes on.
#[derive(Debug, Clone)]
pub enum Pace {
    /// A clock, from the moment that the table is ready.
    Clock(Clock),
    /// Only [`EmbeddedTable::advance`].
    Manual,
}

/// A running embedded DynamoDB. Dropping it stops it without waiting.
#[derive(Debug)]
pub struct EmbeddedTable {
    address: SocketAddr,
    items: usize,
    commands: mpsc::Sender<Command>,
    done: oneshot::Receiver<Result<(), Error>>,
}

#[derive(Debug)]
enum Command {
    Advance(Duration, oneshot::Sender<Result<usize, Error>>),
}

/// Requests that are still open when the table is told to stop may take this long.
const GRACE: Duration = Duration::from_secs(2);

impl EmbeddedTable {
    /// Reads the seed, binds the port, loads the items and answers requests; returns when it does.
    ///
    /// # Errors
    /// A seed that is missing or wrong, a port that is taken.
    pub async fn start(options: Options) -> Result<Self, Error> {
        let (commands, inbox) = mpsc::channel(8);
        let (ready, started) = oneshot::channel();
        let (finished, done) = oneshot::channel();
        std::thread::Builder::new()
            .name("embedded-table".to_owned())
            .spawn(move || {
                let result = run(options, ready, inbox);
                // Nobody waits any more if the handle was dropped.
                let _ = finished.send(result);
            })
            .map_err(|error| Error::Database(format!("cannot start a thread: {error}")))?;
        match started.await {
            Ok(Ready { address, items }) => Ok(Self { address, items, commands, done }),
            Err(_) => Err(match done.await {
                Ok(Err(error)) => error,
                _ => Error::Stopped,
            }),
        }
    }

    /// Where the table answers.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL for an AWS SDK.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The region that goes with the endpoint.
    pub fn region(&self) -> &'static str {
        "us-east-1"
    }

    /// The access key id that goes with the endpoint; any would do, none would not.
    pub fn access_key_id(&self) -> &'static str {
        "embedded"
    }

    /// The secret key that goes with the endpoint; signatures are not verified.
    pub fn secret_access_key(&self) -> &'static str {
        "embedded"
    }

    /// How many items were loaded at the start.
    pub fn items(&self) -> usize {
        self.items
    }

    /// Applies the changes that are due when the script has run for `elapsed`; returns how many
    /// took effect. Going back does nothing.
    ///
    /// # Errors
    /// [`Error::Stopped`] if the table does not run any more.
    pub async fn advance(&self, elapsed: Duration) -> Result<usize, Error> {
        let (answer, result) = oneshot::channel();
        self.commands.send(Command::Advance(elapsed, answer)).await.map_err(|_| Error::Stopped)?;
        result.await.map_err(|_| Error::Stopped)?
    }

    /// Lets open requests finish for a short while, then ends the thread and frees the port.
    ///
    /// # Errors
    /// What had stopped the table before, if something did.
    pub async fn stop(self) -> Result<(), Error> {
        drop(self.commands);
        self.done.await.map_err(|_| Error::Stopped)?
    }
}

struct Ready {
    address: SocketAddr,
    items: usize,
}

/// The thread: everything that blocks happens here.
fn run(options: Options, ready: oneshot::Sender<Ready>, inbox: mpsc::Receiver<Command>) -> Result<(), Error> {
    let seed = Arc::new(Seed::read(&options.seed)?);
    let bind_error = |source| Error::Bind { port: options.port, source };
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, options.port)).map_err(bind_error)?;
    listener.set_nonblocking(true).map_err(bind_error)?;
    let address = listener.local_addr().map_err(bind_error)?;
    let database = Database::memory()?;
    let items = seed.load(&database)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::Database(format!("cannot start a runtime: {error}")))?;
    let result = runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener).map_err(bind_error)?;
        let player = Player::new(seed, database.clone());
        let _ = ready.send(Ready { address, items });
        tracing::info!(%address, items, "the embedded DynamoDB is ready");
        serve(database, listener, player, options.pace, inbox).await
    });
    runtime.shutdown_background();
    result
}

async fn serve(
    database: Database,
    listener: tokio::net::TcpListener,
    player: Player,
    pace: Pace,
    inbox: mpsc::Receiver<Command>,
) -> Result<(), Error> {
    let (stop, stopped) = oneshot::channel::<()>();
    let mut server = tokio::spawn(database.serve(listener, async {
        // A dropped sender means stop as well.
        let _ = stopped.await;
    }));
    let ended = |joined: Result<Result<(), Error>, _>| joined.unwrap_or(Err(Error::Stopped));
    tokio::select! {
        joined = &mut server => return ended(joined),
        () = play(player, pace, inbox) => {}
    }
    drop(stop);
    match tokio::time::timeout(GRACE, server).await {
        Ok(joined) => ended(joined),
        Err(_) => Ok(()),
    }
}

/// Plays the script until the handle is dropped.
async fn play(mut player: Player, mut pace: Pace, mut inbox: mpsc::Receiver<Command>) {
    let start = match &pace {
        Pace::Clock(clock) => clock.now().mono,
        Pace::Manual => Duration::ZERO,
    };
    loop {
        let due = player.next_at().map(|at| start.saturating_add(at));
        tokio::select! {
            command = inbox.recv() => match command {
                Some(Command::Advance(elapsed, answer)) => {
                    let _ = answer.send(player.advance(elapsed));
                }
                None => return,
            },
            now = reached(&pace, due) => {
                if let Err(error) = player.advance(now.saturating_sub(start)) {
                    tracing::error!(%error, "the script of changes stopped; the table goes on as it is");
                    pace = Pace::Manual;
                }
            }
        }
    }
}

/// Waits until the clock reaches a moment, and says where it stands then.
async fn reached(pace: &Pace, due: Option<Duration>) -> Duration {
    match (pace, due) {
        (Pace::Clock(clock), Some(due)) => {
            clock.sleep_until(due).await;
            clock.now().mono
        }
        _ => std::future::pending().await,
    }
}
