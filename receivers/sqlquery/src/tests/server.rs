//! A server of PostgreSQL for a test, from the Debian package that `tests/setup.sh` installs: a new folder, a unix socket and
//! a port of its own. Gone when dropped.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use steadyline_http::testkit::TestCertificates;
use tokio_postgres::NoTls;

pub(super) struct Server {
    folder: tempfile::TempDir,
    process: Child,
    /// Of its TLS.
    pub(super) certificates: TestCertificates,
    pub(super) port: u16,
}

/// The newest PostgreSQL that is installed.
fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").map(|entries| {
        let mut versions: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path().join("bin"))).collect();
        versions.retain(|bin| bin.join("postgres").exists());
        versions.sort();
        versions
    });
    let found = versions.ok().and_then(|mut versions| versions.pop());
    found.unwrap_or_else(|| panic!("PostgreSQL is not installed: run tests/setup.sh"))
}

/// A program of PostgreSQL. It refuses to run as root, so root runs it as the user of the package.
fn program(name: &str) -> Command {
    let path = programs().join(name);
    if !rustix::process::getuid().is_root() {
        return Command::new(path);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(path);
    command
}

fn own(path: &Path) {
    if rustix::process::getuid().is_root() {
        let done = Command::new("chown").args(["-R", "postgres:postgres"]).arg(path).status().unwrap();
        assert!(done.success());
    }
}

impl Server {
    pub(super) async fn start() -> Server {
        let folder = tempfile::Builder::new().prefix("pg").tempdir_in("/tmp").unwrap();
        let (data, password) = (folder.path().join("data"), folder.path().join("password"));
        std::fs::write(&password, "s3cret").unwrap();
        let certificates = TestCertificates::new();
        own(folder.path());
        let done = program("initdb")
            .args(["--username=postgres", "--auth=scram-sha-256", "--no-sync", "--encoding=UTF8", "--locale=C"])
            .arg(format!("--pwfile={}", password.display()))
            .arg("--pgdata")
            .arg(&data)
            .stdout(Stdio::null())
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        std::fs::write(data.join("server.crt"), &certificates.server.0).unwrap();
        std::fs::write(data.join("server.key"), &certificates.server.1).unwrap();
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(data.join("server.key"), private).unwrap();
        own(&data);
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let process = program("postgres")
            .arg("-D")
            .arg(&data)
            .args(["-c", "fsync=off", "-c", "ssl=on", "-c", "listen_addresses=127.0.0.1"])
            .args([
                "-c",
                &format!("port={port}"),
                "-c",
                &format!("unix_socket_directories={}", folder.path().display()),
            ])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let server = Server { folder, process, certificates, port };
        server.ready().await;
        server
    }

    /// Its folder, in which its socket is.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    async fn connect(&self) -> Result<tokio_postgres::Client, tokio_postgres::Error> {
        let words = format!("host={} port={} user=postgres password=s3cret", self.folder().display(), self.port);
        let (client, connection) = tokio_postgres::connect(&words, NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    async fn ready(&self) {
        let ready = async {
            while self.connect().await.is_err() {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        let waited = tokio::time::timeout(super::LONG, ready).await;
        let log = std::fs::read_to_string(self.folder().join("log")).unwrap_or_default();
        waited.unwrap_or_else(|_| panic!("the server does not start: {log}"));
    }

    pub(super) async fn run(&self, sql: &str) {
        self.connect().await.unwrap().batch_execute(sql).await.unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(pid) = rustix::process::Pid::from_raw(self.process.id().cast_signed()) {
            // At once: nothing of it is needed any more.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::QUIT);
        }
        let _ = self.process.wait();
    }
}
