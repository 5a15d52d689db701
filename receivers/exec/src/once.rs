//! A program that is run once per interval: a poll is a run, and all of its output is the source's state.

use std::sync::Arc;
use std::time::Duration;

use steadyline_component::{
    CheckRow, Clock, CreateContext, Data, PassEnd, PollError, PollOutput, Poller, Polling, Shutdown, Tick, Verdict,
    async_trait,
};

use crate::config::{Config, Format};
use crate::format::{Reader, Reading};
use crate::process::{Program, words};
use crate::report::{EXIT_CODE, GARBAGE, IO, Report, TIMEOUT};

/// What is left of a poll's time when the program must have ended, so that it can still be told.
const LAST_WORDS: Duration = Duration::from_secs(1);

struct Once {
    program: Program,
    reader: Reader,
    /// A text document counts whole or not at all.
    is_document: bool,
    max_output: usize,
    report: Report,
    clock: Clock,
}

pub(crate) fn polling(config: Config, context: &CreateContext<'_>) -> Polling {
    let once = Once {
        program: Program::new(&config, context),
        reader: Reader::new(config.format, &config.resource, config.max_line_bytes.as_usize()),
        is_document: matches!(config.format, Format::Prometheus | Format::Openmetrics),
        max_output: config.max_output_bytes.as_usize(),
        report: Report::new(context),
        clock: context.clock.clone(),
    };
    Polling {
        poller: Box::new(once),
        schedule: config.schedule(),
        identity: config.identity.iter().map(|key| Arc::from(key.as_str())).collect(),
        leadership: None,
    }
}

impl Once {
    /// One run. It goes on by itself when the poll is broken off, so that the program is asked to end before it is killed.
    async fn run(&self, limit: Duration, shutdown: Shutdown) -> Result<Vec<u8>, PollError> {
        let (program, clock, most) = (self.program.clone(), self.clock.clone(), self.max_output);
        let run = tokio::spawn(async move { run(program, clock, most, limit, shutdown).await });
        run.await.unwrap_or_else(|error| Err(PollError::new(IO, format!("the run broke off: {error}"))))
    }

    async fn take(&mut self, text: &[u8], first: u64, tick: &Tick, output: &PollOutput) -> Result<PassEnd, PollError> {
        let Reading { data, rejected } = self.reader.read(text, first, tick.time, true);
        self.report.rejected(&rejected);
        let items: u64 = data.iter().map(items_of).sum();
        if let Some(first) = rejected.first()
            && (self.is_document || items == 0)
        {
            let message = format!("`{}` printed what does not read: {first}", self.program.name());
            return Err(PollError::new(GARBAGE, message));
        }
        for data in data {
            match data {
                Data::Metrics(metrics) => output.send(metrics).await?,
                Data::Opaque(opaque) => output.send_opaque(opaque).await?,
            }
        }
        // What a line that does not read would have said is not known, so nothing has ended.
        Ok(if rejected.is_empty() { PassEnd::Complete } else { PassEnd::Partial })
    }
}

fn items_of(data: &Data) -> u64 {
    match data {
        Data::Metrics(metrics) => metrics.points() as u64,
        Data::Opaque(opaque) => opaque.items() as u64,
    }
}

async fn run(
    program: Program,
    clock: Clock,
    most: usize,
    limit: Duration,
    shutdown: Shutdown,
) -> Result<Vec<u8>, PollError> {
    let (mut running, mut pipes) = program.start(false)?;
    let ended = tokio::select! {
        ended = clock.timeout(limit, running.output(&mut pipes.stdout, most)) => ended,
        () = shutdown.wait() => Some(Err(PollError::new(IO, "the process stops"))),
    };
    let result = ended.unwrap_or_else(|| {
        let message = format!("`{}` did not end within {limit:?}; it was ended", program.name());
        Err(PollError::new(TIMEOUT, message))
    });
    match result {
        Ok((text, status)) if status.success() => Ok(text),
        Ok((_, status)) => Err(PollError::new(EXIT_CODE, format!("`{}` ended with {}", program.name(), words(status)))),
        Err(error) => {
            // The failure is told at once; how the program takes it is its own affair.
            tokio::spawn(running.stop(program.grace));
            Err(error)
        }
    }
}

#[async_trait]
impl Poller for Once {
    async fn poll(&mut self, tick: &Tick, output: &PollOutput) -> Result<PassEnd, PollError> {
        let left = tick.deadline.saturating_sub(self.clock.now().mono);
        let limit = left.saturating_sub(LAST_WORDS.min(left / 5));
        let result = match self.run(limit, tick.shutdown.clone()).await {
            Ok(text) => self.take(&text, 1, tick, output).await,
            Err(error) => Err(error),
        };
        result.map_err(|error| self.report.failed(error))
    }

    /// The document is what the program would have printed.
    async fn replay(&mut self, document: &[u8], tick: &Tick, output: &PollOutput) -> Result<PassEnd, PollError> {
        self.take(document, 1, tick, output).await
    }

    async fn check(&mut self) -> Vec<CheckRow> {
        let what = format!("run `{}`", self.program.name());
        let (_never, shutdown) = Shutdown::new();
        let row = match self.run(Duration::from_secs(30), shutdown).await {
            Ok(text) => {
                let reading = self.reader.read(&text, 1, self.clock.now().unix_nanos, true);
                let items: u64 = reading.data.iter().map(items_of).sum();
                match reading.rejected.first() {
                    None => CheckRow {
                        what,
                        verdict: Verdict::Pass,
                        detail: format!("{} bytes, {items} items", text.len()),
                        advice: String::new(),
                    },
                    Some(rejected) => CheckRow {
                        what,
                        verdict: Verdict::Fail,
                        detail: rejected.to_string(),
                        advice: "it must print what `format` says, and nothing else, on its standard output".into(),
                    },
                }
            }
            Err(error) => CheckRow { what, verdict: Verdict::Fail, detail: error.message, advice: String::new() },
        };
        vec![row]
    }
}
