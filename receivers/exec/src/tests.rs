//! Programs of every kind, hostile ones too: what they harm is themselves.

use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, test_kill_process};
use steadyline_component::factory::Source;
use steadyline_component::telemetry::Signal;
use steadyline_component::testkit::{TestExtensions, TestIntake, create_with, render};
use steadyline_component::{
    Board, Clock, Header, Host, Instrument, Meter, PassEnd, PollError, PollOutput, Shutdown, Tick,
};

use crate::ExecFactory;

struct Made {
    source: Source,
    clock: Clock,
    intake: Arc<TestIntake>,
    /// Held, because a meter forgets those of a receiver that is gone.
    instruments: Vec<Arc<Instrument>>,
    folder: tempfile::TempDir,
}

/// `script` is what a shell runs; `$DIR` is a folder of the test.
fn make(script: &str, keys: &str) -> Made {
    let folder = tempfile::tempdir().unwrap();
    let (clock, meter) = (Clock::system(), Meter::default());
    // In a config a dollar is written twice.
    let script = serde_json::to_string(&script.replace("$", "$$")).unwrap();
    let yaml = format!("command: [sh, -c, {script}]\nenv: {{DIR: {}}}\n{keys}", folder.path().display());
    let source = create_with::<ExecFactory>(&yaml, &mut TestExtensions::default(), &clock, &meter).unwrap();
    Made { source, instruments: meter.read(), clock, intake: TestIntake::new(64 << 20), folder }
}

impl Made {
    /// One poll that may take `limit`.
    async fn poll(&mut self, limit: Duration) -> Result<PassEnd, PollError> {
        let Source::Polled(polling) = &mut self.source else { panic!("it is polled") };
        let outputs = self.intake.outputs(&[Signal::Metrics, Signal::Logs, Signal::Traces]);
        let output = PollOutput::of(outputs, Header::default());
        let now = self.clock.now();
        let (_trigger, shutdown) = Shutdown::new();
        let time = 60_000_000_000;
        let tick = Tick { epoch: 1, time, deadline: now.mono + limit, last_complete: None, shutdown };
        polling.poller.poll(&tick, &output).await
    }

    fn lines(&self) -> Vec<String> {
        self.intake.take().iter().filter_map(|batch| batch.as_metrics()).flat_map(render).collect()
    }

    fn counted(&self, name: &str, label: Option<&str>) -> f64 {
        let is =
            |labels: &[(String, String)]| label.is_none_or(|wanted| labels.iter().any(|(_, value)| value == wanted));
        self.instruments.iter().filter(|one| one.name == name && is(&one.labels)).map(|one| one.value()).sum()
    }

    fn pid(&self, name: &str) -> Pid {
        let text = std::fs::read_to_string(self.folder.path().join(name)).unwrap();
        Pid::from_raw(text.trim().parse().unwrap()).unwrap()
    }
}

const LONG: Duration = Duration::from_secs(60);

/// Waits for a condition.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LONG, wait).await.unwrap_or_else(|_| panic!("{what}"));
}

fn is_gone(pid: Pid) -> bool {
    test_kill_process(pid).is_err()
}

async fn fails(script: &str, keys: &str, limit: Duration, reason: &str, word: &str) {
    let mut made = make(script, keys);
    let error = made.poll(limit).await.unwrap_err();
    assert_eq!(error.reason, reason, "{script}: {error}");
    assert!(error.message.contains(word), "{script}: {error}");
    assert_eq!(made.counted("exec_failures", Some(reason)), 1.0);
    assert!(made.lines().is_empty(), "{script}: nothing of it counts");
}

#[tokio::test]
async fn a_run_is_a_pass() {
    let mut made = make("echo '# TYPE a gauge'; echo 'a{x=\"1\"} 5'; echo 'I! done' >&2", "");
    assert_eq!(made.poll(LONG).await.unwrap(), PassEnd::Complete);
    assert_eq!(made.lines(), ["a{x=\"1\"} 5 @60"]);
}

#[tokio::test]
async fn lines_that_do_not_read_make_a_pass_partial() {
    let script = r#"echo '{"name": "a", "value": 1}'; echo nonsense; echo '{"name": "b", "value": 2}'"#;
    let mut made = make(script, "format: json_lines\nresource: {host: h}");
    assert_eq!(made.poll(LONG).await.unwrap(), PassEnd::Partial);
    assert_eq!(made.lines(), ["resource{host=\"h\"}", "a 1 @60", "b 2 @60"]);
    assert_eq!(made.counted("exec_lines_rejected", None), 1.0);
}

#[tokio::test]
async fn a_program_gets_nothing_that_it_was_not_given() {
    let keys = "format: json_lines\ninherit_env: [PATH, HOME]\nworking_directory: /proc/self";
    let script = r#"
        test -z "$CARGO_MANIFEST_DIR" && echo '{"name": "clean", "value": 1}'
        test -n "$PATH$HOME$DIR" && echo '{"name": "given", "value": 1}'
        test "$(ps -o pgid= -p $$ | tr -d ' ')" = "$$" && echo '{"name": "leader", "value": 1}'
        read line || echo '{"name": "no_input", "value": 1}'
        test "$PWD" != / && echo '{"name": "elsewhere", "value": 1}'"#;
    let mut made = make(script, keys);
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some(), "the test needs a variable that is not passed on");
    assert_eq!(made.poll(LONG).await.unwrap(), PassEnd::Complete);
    assert_eq!(made.lines(), ["clean 1 @60", "given 1 @60", "leader 1 @60", "no_input 1 @60", "elsewhere 1 @60"]);
}

#[tokio::test]
async fn an_endless_loop_is_ended() {
    let mut made = make("echo $$ > $DIR/pid; while :; do :; done", "");
    let error = made.poll(Duration::from_secs(1)).await.unwrap_err();
    assert_eq!(error.reason, "timeout");
    let pid = made.pid("pid");
    until("the loop is gone", || is_gone(pid)).await;
}

#[tokio::test]
async fn who_forks_and_ignores_sigterm_is_killed_with_its_children() {
    let script = "trap '' TERM; (while :; do sleep 1; done) & echo $! > $DIR/child; echo $$ > $DIR/pid; wait";
    let mut made = make(script, "stop_grace: 100ms");
    assert_eq!(made.poll(Duration::from_secs(1)).await.unwrap_err().reason, "timeout");
    for name in ["child", "pid"] {
        let pid = made.pid(name);
        until("killed", || is_gone(pid)).await;
    }
}

#[tokio::test]
async fn who_forks_and_leaves_takes_its_children_along() {
    let mut made = make("sleep 600 & echo $! > $DIR/child; echo 'a 1'", "");
    assert_eq!(made.poll(LONG).await.unwrap(), PassEnd::Complete, "the child holds the pipe, and nobody waits for it");
    assert_eq!(made.lines(), ["a 1 @60"]);
    let pid = made.pid("child");
    until("killed", || is_gone(pid)).await;
}

#[tokio::test]
async fn a_session_of_its_own_does_not_hold_up_the_poll() {
    let mut made = make("setsid sleep 600 & echo $! > $DIR/child; echo 'a 1'", "");
    assert_eq!(made.poll(LONG).await.unwrap(), PassEnd::Complete);
    assert_eq!(made.lines(), ["a 1 @60"]);
    // Out of our reach, as documented; the test cleans up.
    let _ = rustix::process::kill_process(made.pid("child"), rustix::process::Signal::KILL);
}

#[tokio::test]
async fn floods_garbage_slow_starts_and_quick_ends_are_failures_with_words() {
    fails("yes", "max_output_bytes: 1MiB", LONG, "too_large", "max_output_bytes").await;
    fails("sleep 600; echo 'a 1'", "", Duration::from_millis(500), "timeout", "did not end").await;
    fails("echo 'a 1'; exit 3", "", LONG, "exit_code", "exit code 3").await;
    fails("echo 'a 1'; kill -9 $$", "", LONG, "exit_code", "signal 9").await;
    let random = "echo 'x'; head -c 100000 /dev/urandom";
    for format in ["prometheus", "openmetrics", "json_lines", "otlp_json"] {
        fails(random, &format!("format: {format}"), LONG, "garbage", "line 1").await;
    }
}

#[tokio::test]
async fn a_memory_hog_gets_no_memory() {
    // It begins when its limit is there.
    let script = "until [ \"$(ulimit -v)\" != unlimited ]; do :; done; exec dd if=/dev/zero of=/dev/null bs=1G count=1";
    fails(script, "limits: {memory: 256MiB}", LONG, "exit_code", "exit code 1").await;
    let script = "until [ \"$(ulimit -t)\" != unlimited ]; do :; done; while :; do :; done";
    fails(script, "limits: {cpu_time: 1s}", LONG, "exit_code", "signal").await;
}

#[tokio::test]
async fn a_flood_on_standard_error_is_read_away() {
    let mut made = make("yes 'E! no' | head -c 10000000 >&2; echo 'a 1'", "");
    assert_eq!(made.poll(LONG).await.unwrap(), PassEnd::Complete);
    assert_eq!(made.lines(), ["a 1 @60"]);
}

#[tokio::test]
async fn what_cannot_be_started_says_so() {
    for (yaml, word) in [
        ("command: [/does/not/exist, --token, s3cret]", "/does/not/exist"),
        ("command: [sh]\nworking_directory: /does/not/exist", "in `/does/not/exist`"),
        ("command: [sh, -c, 'sleep 5']\nlimits: {open_files: 1000000000}", "limits.open_files"),
    ] {
        let (clock, meter) = (Clock::system(), Meter::default());
        let source = create_with::<ExecFactory>(yaml, &mut TestExtensions::default(), &clock, &meter).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut made = Made { source, instruments: meter.read(), clock, intake: TestIntake::new(1 << 20), folder };
        let error = made.poll(LONG).await.unwrap_err();
        assert_eq!(error.reason, "not_started");
        assert!(error.message.contains(word) && !error.message.contains("s3cret"), "{error}");
    }
}

/// A long-running program under way.
struct Session {
    made: Made,
    stop: steadyline_component::receiver::ShutdownTrigger,
    task: tokio::task::JoinHandle<()>,
}

async fn session(script: &str, keys: &str) -> Session {
    let keys = format!("mode: long_running\nrestart: {{initial_interval: 10ms, max_interval: 50ms}}\n{keys}");
    let mut made = make(script, &keys);
    let placeholder = make("true", "").source;
    let Source::Running(mut receiver) = std::mem::replace(&mut made.source, placeholder) else { panic!("it runs") };
    let (stop, shutdown) = Shutdown::new();
    let host = Host { clock: made.clock.clone(), board: Board::new(made.clock.clone()), shutdown: shutdown.clone() };
    receiver.start(&host).await.unwrap();
    let outputs = made.intake.outputs(&[Signal::Metrics, Signal::Logs]);
    let task = tokio::spawn(async move { receiver.run(outputs, shutdown).await.unwrap() });
    Session { made, stop, task }
}

impl Session {
    async fn end(self) -> Made {
        self.stop.fire();
        tokio::time::timeout(LONG, self.task).await.unwrap().unwrap();
        self.made
    }

    /// Waits for so many lines, and says which came.
    async fn lines(&self, count: usize) -> Vec<String> {
        let mut lines = Vec::new();
        let wait = async {
            while lines.len() < count {
                self.made.intake.wait_for(1).await;
                lines.extend(self.made.lines());
            }
        };
        tokio::time::timeout(LONG, wait).await.unwrap();
        lines.iter().map(|line| line.split(" @").next().unwrap().to_string()).collect()
    }
}

#[tokio::test]
async fn a_running_program_is_read_as_it_prints_and_ended_when_we_stop() {
    let script = r#"echo $$ > $DIR/pid; echo '{"name": "a", "value": 1}'; exec sleep 600"#;
    let session = session(script, "format: json_lines").await;
    assert_eq!(session.lines(1).await, ["a 1"]);
    let made = session.end().await;
    assert!(is_gone(made.pid("pid")));
}

#[tokio::test]
async fn a_trigger_is_a_line_on_standard_input() {
    let script = r#"while read word; do n=$((n + 1)); echo "triggered{word=\"$word\"} $n"; echo; done"#;
    let session = session(script, "trigger: now\ninitial_delay: 0s\ncollection_interval: 1s").await;
    assert_eq!(session.lines(2).await, ["triggered{word=\"now\"} 1", "triggered{word=\"now\"} 2"]);
    session.end().await;
}

#[tokio::test]
async fn what_ends_is_started_again_and_what_it_said_last_counts() {
    let session = session("printf 'a 1'; exit 1", "").await;
    assert_eq!(session.lines(3).await, ["a 1"; 3]);
    let made = session.end().await;
    assert!(made.counted("exec_restarts", None) >= 2.0);
    assert!(made.counted("exec_failures", Some("exit_code")) >= 2.0);
}

#[tokio::test]
async fn garbage_between_good_lines_is_counted_and_left_out() {
    let script = r#"head -c 50000 /dev/zero; echo; echo '{"name": "a", "value": 1}'; echo '{'; echo '{"name": "b", "value": 2}'; exec sleep 600"#;
    let session = session(script, "format: json_lines\nmax_line_bytes: 1KiB").await;
    assert_eq!(session.lines(2).await, ["a 1", "b 2"]);
    let made = session.end().await;
    assert_eq!(made.counted("exec_lines_rejected", None), 2.0);
}

#[tokio::test]
async fn documents_that_do_not_read_are_left_out_whole() {
    let session = session("echo 'a 1'; echo 'b b'; echo; echo 'c 3'; echo; exec sleep 600", "").await;
    assert_eq!(session.lines(1).await, ["c 3"]);
    let made = session.end().await;
    assert_eq!(made.counted("exec_failures", Some("garbage")), 1.0);
}

#[tokio::test]
async fn a_flood_waits_for_the_pipeline_and_stops_with_us() {
    let script = r#"echo $$ > $DIR/pid; exec yes '{"name": "a", "value": 1}'"#;
    let session = session(script, "format: json_lines").await;
    session.lines(10_000).await;
    let made = session.end().await;
    assert!(is_gone(made.pid("pid")));
    assert!(made.intake.outputs(&[Signal::Metrics]).budget().unwrap().used() <= 64 << 20);
}

#[tokio::test]
async fn a_stubborn_program_is_killed_with_its_children_when_we_stop() {
    let script =
        "trap '' TERM; (while :; do sleep 1; done) & echo $! > $DIR/child; echo 'a 1'; echo; while :; do sleep 1; done";
    let session = session(script, "stop_grace: 100ms").await;
    session.lines(1).await;
    let made = session.end().await;
    let pid = made.pid("child");
    until("killed", || is_gone(pid)).await;
}

#[tokio::test]
async fn a_program_that_closes_its_output_is_started_again() {
    let session = session("echo 'a 1'; exec >&- 2>&-; exec sleep 600", "stop_grace: 10ms").await;
    assert_eq!(session.lines(2).await, ["a 1"; 2]);
    session.end().await;
}

#[test]
fn bad_config_is_refused_in_words() {
    let wrong = |yaml: &str| steadyline_component::testkit::create::<ExecFactory>(yaml).err().unwrap();
    for (yaml, word) in [
        ("{}", "command: it must name a program"),
        ("command: [\"\"]", "command"),
        ("command: [x]\ncollection_interval: 10ms", "at least 1s"),
        ("command: [x]\ntimeout: 90s", "at most `collection_interval`"),
        ("command: [x]\ntrigger: go", "long_running"),
        ("command: [x]\nmode: long_running\ntrigger: \"a\\nb\"", "one line"),
        ("command: [x]\nmode: long_running\ntimeout: 5s", "timeout"),
        ("command: [x]\nmax_line_bytes: 0", "max_line_bytes"),
        ("command: [x]\nmax_output_bytes: 1KiB", "max_output_bytes"),
        ("command: [x]\nmax_output_bytes: 1GiB", "64MiB"),
        ("command: [x]\nenv: {\"A=B\": c}", "env"),
        ("command: [x]\nformat: otlp_json\nresource: {a: b}", "resource"),
        ("command: [x]\nlimits: {cpu_time: 10ms}", "limits.cpu_time"),
        ("command: [x]\nrestart: {initial_interval: 5m}", "restart.max_interval"),
        ("command: x", "command"),
        ("comand: [x]", "command"),
    ] {
        let words = wrong(yaml);
        assert!(words.contains(word), "{yaml}: {words}");
    }
}
