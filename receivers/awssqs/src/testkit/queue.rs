//! One queue of the fake: messages, who sees them when, what was deleted.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A message as it was sent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sent {
    /// The body.
    pub body: String,
    /// Message attributes that are text.
    pub attributes: BTreeMap<String, String>,
    /// X-Ray's header.
    pub xray: Option<String>,
    /// When it was sent, in milliseconds since the Unix epoch; `None`: now.
    pub sent_ms: Option<u64>,
}

impl From<&str> for Sent {
    fn from(body: &str) -> Self {
        Sent { body: body.to_owned(), ..Sent::default() }
    }
}

impl From<String> for Sent {
    fn from(body: String) -> Self {
        Sent { body, ..Sent::default() }
    }
}

/// A queue.
pub(crate) struct Queue {
    pub(crate) visibility: Duration,
    pub(crate) redrive: Option<(String, u32)>,
    pub(crate) deleted: Vec<String>,
    pub(crate) twice: u32,
    ready: VecDeque<Stored>,
    hidden: HashMap<String, (Stored, Instant)>,
    next_look: Option<Instant>,
    next_id: u64,
}

/// A message in a queue.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) id: String,
    pub(crate) sent: Sent,
    pub(crate) receive_count: u32,
}

impl Stored {
    /// What deletes it after this reception.
    pub(crate) fn handle(&self) -> String {
        format!("{}#{}", self.id, self.receive_count)
    }
}

impl Queue {
    pub(crate) fn new(visibility: Duration) -> Self {
        Self {
            visibility,
            redrive: None,
            deleted: Vec::new(),
            twice: 0,
            ready: VecDeque::new(),
            hidden: HashMap::new(),
            next_look: None,
            next_id: 0,
        }
    }

    pub(crate) fn send(&mut self, mut sent: Sent) -> String {
        self.next_id += 1;
        let id = format!("m{:06}", self.next_id);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
        sent.sent_ms.get_or_insert(now);
        self.ready.push_back(Stored { id: id.clone(), sent, receive_count: 0 });
        id
    }

    /// Puts a message in that was in another queue.
    pub(crate) fn adopt(&mut self, stored: Stored) {
        self.ready.push_back(stored);
    }

    /// Receives up to `most` messages, hidden for `visibility`; those that were received too often come second.
    pub(crate) fn receive(&mut self, most: usize, visibility: Duration) -> (Vec<Stored>, Vec<Stored>) {
        self.look(Instant::now());
        let (mut received, mut dead) = (Vec::new(), Vec::new());
        while received.len() < most {
            let Some(mut stored) = self.ready.pop_front() else { break };
            if self.redrive.as_ref().is_some_and(|(_, most)| stored.receive_count >= *most) {
                dead.push(stored);
                continue;
            }
            stored.receive_count += 1;
            received.push(stored.clone());
            let hidden = if self.twice > 0 { Duration::ZERO } else { visibility };
            self.twice = self.twice.saturating_sub(1);
            self.hide(stored, hidden);
        }
        (received, dead)
    }

    /// Deletes by handle; an old one does nothing, a wrong one is an error.
    pub(crate) fn delete(&mut self, handle: &str) -> Result<(), &'static str> {
        let (id, count) = read(handle)?;
        let is_it = |stored: &Stored| stored.id == id && stored.receive_count == count;
        if self.hidden.get(id).is_some_and(|(stored, _)| is_it(stored)) {
            self.hidden.remove(id);
            self.deleted.push(id.to_owned());
        } else if let Some(place) = self.ready.iter().position(is_it) {
            self.ready.remove(place);
            self.deleted.push(id.to_owned());
        }
        Ok(())
    }

    /// Hides a message for so long from now on.
    pub(crate) fn change(&mut self, handle: &str, visibility: Duration) -> Result<(), &'static str> {
        let (id, count) = read(handle)?;
        match self.hidden.remove(id) {
            Some((stored, _)) if stored.receive_count == count => {
                self.hide(stored, visibility);
                Ok(())
            }
            Some(other) => {
                self.hidden.insert(id.to_owned(), other);
                Err("MessageNotInflight")
            }
            None => Err("MessageNotInflight"),
        }
    }

    pub(crate) fn expire_all(&mut self) {
        let all: Vec<String> = self.hidden.keys().cloned().collect();
        self.ready.extend(all.iter().filter_map(|id| self.hidden.remove(id)).map(|(stored, _)| stored));
    }

    pub(crate) fn all(&self) -> Vec<Sent> {
        let hidden = self.hidden.values().map(|(stored, _)| stored);
        let mut all: Vec<&Stored> = self.ready.iter().chain(hidden).collect();
        all.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        all.into_iter().map(|stored| stored.sent.clone()).collect()
    }

    /// When something hidden shows itself again.
    pub(crate) fn next_look(&self) -> Option<Instant> {
        self.next_look
    }

    fn hide(&mut self, stored: Stored, visibility: Duration) {
        if visibility.is_zero() {
            self.ready.push_back(stored);
            return;
        }
        let until = Instant::now() + visibility;
        self.next_look = Some(self.next_look.map_or(until, |next| next.min(until)));
        self.hidden.insert(stored.id.clone(), (stored, until));
    }

    fn look(&mut self, now: Instant) {
        if self.next_look.is_none_or(|next| now < next) {
            return;
        }
        let over: Vec<String> =
            self.hidden.iter().filter(|(_, (_, until))| *until <= now).map(|(id, _)| id.clone()).collect();
        self.ready.extend(over.iter().filter_map(|id| self.hidden.remove(id)).map(|(stored, _)| stored));
        self.next_look = self.hidden.values().map(|(_, until)| *until).min();
    }
}

/// Id and count of receptions of a handle.
fn read(handle: &str) -> Result<(&str, u32), &'static str> {
    let (id, count) = handle.split_once('#').ok_or("ReceiptHandleIsInvalid")?;
    Ok((id, count.parse().map_err(|_| "ReceiptHandleIsInvalid")?))
}
