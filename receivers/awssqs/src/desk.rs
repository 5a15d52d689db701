//! The desk that every message passes, from the queue or from a Lambda: read, counted, kept, sent, and a verdict on each.
//! One bad message fails alone: what the backend refuses for good is sent again in halves until it stands alone.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use steadyline_component::telemetry::Signal;
use steadyline_component::{Batch, Clock, Data, Header, Now, Outputs, Permit, SendError, SettleError, Term, Until};

use crate::config::{EventTemporality, SpanRelation, Spans, UnknownType};
use crate::emit::{Emission, Manner, Sending, emit};
use crate::event::{Reader, Reading};
use crate::ledger::{Admission, Ledger};
use crate::logs::{Span, Text, spans};
use crate::message::Received;
use crate::report::{Report, Summary};

/// What is to become of a message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Verdict {
    pub(crate) id: String,
    pub(crate) receive_count: u32,
    pub(crate) fate: Fate,
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fate {
    /// It is done with.
    Delete,
    /// It goes back to the queue, and comes again.
    Return,
}

/// What all batches of a receiver share.
pub(crate) struct Desk {
    pub(crate) source: Arc<str>,
    pub(crate) queue: String,
    pub(crate) ledger: Ledger,
    pub(crate) report: Arc<Report>,
    pub(crate) clock: Clock,
    pub(crate) manner: Manner,
    pub(crate) unknown: UnknownType,
    pub(crate) spans: Spans,
    pub(crate) outputs: Outputs,
    pub(crate) ids: Ids,
}

/// Messages on their way, and those that are judged already.
#[derive(Debug)]
pub(crate) struct Work {
    sendings: Vec<Sending>,
    emission: Emission,
    header: Header,
    verdicts: Vec<Verdict>,
    summary: Summary,
    began: u64,
}

impl Desk {
    /// Reads messages, counts what is in them, and makes what goes out. The order of calls is the order of points.
    pub(crate) fn take_in(
        &self,
        reader: &mut Reader,
        messages: Vec<Received>,
        permit: Option<Permit>,
        term: Option<Term>,
    ) -> Work {
        let mut now = self.clock.now();
        if let Some(term) = &term {
            // Another process may go on with these series: they carry the lease's time.
            now.unix_nanos = term.time();
        }
        let mut work = Work {
            sendings: Vec::new(),
            emission: Emission { metrics: None, logs: None },
            header: Header { source: Arc::clone(&self.source), permit, term, ..Header::default() },
            verdicts: Vec::new(),
            summary: Summary { received: messages.len() as u64, ..Summary::default() },
            began: now.unix_nanos,
        };
        for message in messages {
            let reading = reader.read(message, now.unix_nanos);
            self.judge(reading, now, &mut work);
        }
        let mut books = self.ledger.lock();
        work.emission = emit(&work.sendings, &mut books, &self.manner, now.unix_nanos);
        work
    }

    fn judge(&self, reading: Reading, now: Now, work: &mut Work) {
        match reading {
            Reading::Bad(message, reason, detail) => {
                self.report.failed(reason, &message.id, message.receive_count, &detail);
                work.fail(&message);
            }
            Reading::Unknown(message, kind) => {
                self.report.skipped("unknown_type", &message.id, &format!("no type {kind:?} is configured"));
                let fate = if self.unknown == UnknownType::Delete { Fate::Delete } else { Fate::Return };
                work.skip(&message, fate);
            }
            Reading::Event(event) if event.points.is_empty() && event.log.is_none() => {
                self.report.skipped("nothing_to_send", &event.message.id, "it was filtered out, or has no values");
                work.skip(&event.message, Fate::Delete);
            }
            Reading::Event(event) => match self.ledger.lock().admit(&event, now) {
                Admission::Send { refused } => {
                    self.report.no_series(&event.message.id, refused);
                    let span = self.span_of(event.trace.as_ref());
                    work.sendings.push(Sending { event: *event, span });
                }
                Admission::Done => {
                    self.report.skipped("duplicate", &event.message.id, "it was delivered before");
                    work.skip(&event.message, Fate::Delete);
                }
                Admission::InFlight => {
                    self.report.skipped("duplicate_in_flight", &event.message.id, "the same event is on its way");
                    work.skip(&event.message, Fate::Return);
                }
            },
        }
    }

    /// The trace and the span of a message's processing, if there is to be one.
    fn span_of(&self, producer: Option<&crate::context::TraceContext>) -> Option<([u8; 16], [u8; 8])> {
        if self.spans != Spans::Message || self.outputs.of(Signal::Traces).is_none() {
            return None;
        }
        match producer {
            Some(producer) if !producer.sampled => None,
            Some(producer) if self.manner.relation == SpanRelation::Parent => {
                Some((producer.trace_id, self.ids.span()))
            }
            _ => Some((self.ids.trace(), self.ids.span())),
        }
    }

    /// Keeps what was counted, sends what was made, and says what becomes of every message.
    pub(crate) async fn send(&self, work: Work) -> (Vec<Verdict>, Summary) {
        let Work { sendings, emission, header, mut verdicts, mut summary, began } = work;
        // Counted events must be on disk before anything of them is seen.
        let result = match self.ledger.keep().await {
            Err(error) => Err(("storage", error.to_string())),
            Ok(()) => Ok(()),
        };
        let mut fates = Vec::new();
        match result {
            Err((reason, detail)) => {
                fates.extend(sendings.into_iter().map(|sending| (sending, Some((reason, detail.clone())))))
            }
            Ok(()) => self.deliver(sendings, emission, &header, &mut fates).await,
        }
        let now = self.clock.now();
        {
            let mut books = self.ledger.lock();
            for (sending, failure) in &fates {
                books.landed(&sending.event.key, failure.is_none(), now);
            }
        }
        let tells_once = self.manner.temporality == EventTemporality::Delta || self.manner.wants_logs;
        if tells_once && let Err(error) = self.ledger.keep().await {
            // They were delivered; at worst they are delivered again after a crash.
            self.report.failed("storage", "", 0, &error.to_string());
        }
        self.tell_spans(&fates, began, now.unix_nanos, &header).await;
        for (sending, failure) in fates {
            let message = &sending.event.message;
            let fate = match failure {
                None => {
                    summary.emitted += 1;
                    Fate::Delete
                }
                Some((reason, detail)) => {
                    self.report.failed(reason, &message.id, message.receive_count, &detail);
                    summary.failed += 1;
                    Fate::Return
                }
            };
            verdicts.push(Verdict { id: message.id.clone(), receive_count: message.receive_count, fate });
        }
        (verdicts, summary)
    }

    /// Sends until everything is settled; of what is refused for good, the halves again.
    async fn deliver(&self, sendings: Vec<Sending>, emission: Emission, header: &Header, fates: &mut Vec<Judged>) {
        let mut stack = vec![(sendings, Some(emission))];
        while let Some((mut sendings, emission)) = stack.pop() {
            let emission = emission.unwrap_or_else(|| {
                let now = self.clock.now().unix_nanos;
                emit(&sendings, &mut self.ledger.lock(), &self.manner, now)
            });
            match self.send_all(emission, header).await {
                Err(Undelivered { is_final: true, .. }) if sendings.len() > 1 => {
                    let second = sendings.split_off(sendings.len() / 2);
                    stack.push((second, None));
                    stack.push((sendings, None));
                }
                result => {
                    let failure = result.err().map(|undelivered| (undelivered.reason, undelivered.detail));
                    fates.extend(sendings.into_iter().map(|sending| (sending, failure.clone())));
                }
            }
        }
    }

    async fn send_all(&self, emission: Emission, header: &Header) -> Result<(), Undelivered> {
        let Emission { metrics, logs } = emission;
        let (metrics, logs) = (metrics.map(Data::Metrics), logs.map(Data::Opaque));
        let (first, second) =
            tokio::join!(self.send_one(Signal::Metrics, metrics, header), self.send_one(Signal::Logs, logs, header));
        // What may still arrive decides: that part must be sent again.
        match (first, second) {
            (Err(first), Err(second)) => Err(if first.is_final { second } else { first }),
            (first, second) => first.and(second),
        }
    }

    async fn send_one(&self, signal: Signal, data: Option<Data>, header: &Header) -> Result<(), Undelivered> {
        let (Some(output), Some(data)) = (self.outputs.of(signal), data) else { return Ok(()) };
        let batch = Batch { header: header.clone(), data };
        output.send(batch, Until::Settled).await.map_err(|error| {
            let is_final = matches!(error, SendError::NotSettled(SettleError::Final(_)));
            let reason = match &error {
                SendError::NotSettled(SettleError::Final(_)) => "refused",
                SendError::NotSettled(SettleError::Retryable(_)) => "not_delivered",
                SendError::Busy { .. } => "busy",
                SendError::ShuttingDown => "shutting_down",
            };
            Undelivered { reason, detail: error.to_string(), is_final }
        })
    }

    /// Sends the spans of what was processed. Nothing waits for their delivery.
    async fn tell_spans(&self, fates: &[Judged], start: u64, end: u64, header: &Header) {
        let Some(output) = self.outputs.of(Signal::Traces) else { return };
        let made = match self.spans {
            Spans::None => return,
            Spans::Message => fates.iter().filter_map(|judged| self.message_span(judged, start, end)).collect(),
            Spans::Batch if fates.is_empty() => return,
            Spans::Batch => vec![self.batch_span(fates, start, end)],
        };
        if let Some(opaque) = spans(&self.manner.resource, &made) {
            let header = Header { receipts: Vec::new(), ..header.clone() };
            let batch = Batch { header, data: Data::Opaque(opaque) };
            if let Err(error) = output.send(batch, Until::Enqueued).await {
                tracing::debug!(component = %self.source, "spans were not taken: {error}");
            }
        }
    }

    fn message_span(&self, (sending, failure): &Judged, start: u64, end: u64) -> Option<Span> {
        let (trace_id, span_id) = sending.span?;
        let message = &sending.event.message;
        let is_parent = self.manner.relation == SpanRelation::Parent;
        let producer = sending.event.trace.clone();
        let (parent, links) = if is_parent { (producer, Vec::new()) } else { (None, producer.into_iter().collect()) };
        let mut attributes = self.attributes();
        attributes.push(("messaging.message.id", Text::Str(message.id.clone())));
        attributes.push(("messaging.message.body.size", Text::Int(message.body.len() as u64)));
        attributes.extend(failure.as_ref().map(|(reason, _)| ("error.type", Text::Str((*reason).to_owned()))));
        let error = failure.as_ref().map(|(_, detail)| detail.clone());
        let name = format!("process {}", self.queue);
        Some(Span { trace_id, span_id, parent, links, name, start, end, attributes, error })
    }

    fn batch_span(&self, fates: &[Judged], start: u64, end: u64) -> Span {
        let links = fates.iter().filter_map(|(sending, _)| sending.event.trace.clone()).take(MAX_LINKS).collect();
        let mut attributes = self.attributes();
        attributes.push(("messaging.batch.message_count", Text::Int(fates.len() as u64)));
        let error = fates.iter().find_map(|(_, failure)| failure.as_ref().map(|(_, detail)| detail.clone()));
        let (trace_id, span_id) = (self.ids.trace(), self.ids.span());
        Span {
            trace_id,
            span_id,
            parent: None,
            links,
            name: format!("process {}", self.queue),
            start,
            end,
            attributes,
            error,
        }
    }

    /// The attributes that the conventions for messaging want of every span.
    fn attributes(&self) -> Vec<(&'static str, Text)> {
        let text = |text: &str| Text::Str(text.to_owned());
        vec![
            ("messaging.system", text("aws_sqs")),
            ("messaging.operation.name", text("process")),
            ("messaging.operation.type", text("process")),
            ("messaging.destination.name", text(&self.queue)),
        ]
    }
}

/// The links of one span: the SDKs' limit.
const MAX_LINKS: usize = 128;

/// An event, and why it was not delivered, if it was not.
type Judged = (Sending, Option<(&'static str, String)>);

struct Undelivered {
    reason: &'static str,
    detail: String,
    is_final: bool,
}

impl Work {
    fn fail(&mut self, message: &Received) {
        self.summary.failed += 1;
        self.judged(message, Fate::Return);
    }

    fn skip(&mut self, message: &Received, fate: Fate) {
        self.summary.skipped += 1;
        self.judged(message, fate);
    }

    fn judged(&mut self, message: &Received, fate: Fate) {
        self.verdicts.push(Verdict { id: message.id.clone(), receive_count: message.receive_count, fate });
    }
}

/// Makes ids of traces and spans: a keyed hash of a counter.
#[derive(Debug, Default)]
pub(crate) struct Ids {
    state: RandomState,
    next: AtomicU64,
}

impl Ids {
    fn word(&self) -> u64 {
        self.state.hash_one(self.next.fetch_add(1, Ordering::Relaxed)).max(1)
    }

    fn span(&self) -> [u8; 8] {
        self.word().to_be_bytes()
    }

    fn trace(&self) -> [u8; 16] {
        (u128::from(self.word()) << 64 | u128::from(self.word())).to_be_bytes()
    }
}
