//! A pass: page after page, each mapped and sent before the next is asked for.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use steadyline_component::{
    CheckRow, Clock, CreateContext, Host, PassEnd, PollError, PollOutput, Poller, StartError, Tick, Verdict,
    async_trait,
};
use steadyline_http::Client;
use steadyline_mapping::batch::Batcher;
use steadyline_mapping::item::{Attribute, Item, parse_json};
use steadyline_mapping::mapping::Mapper;

use crate::config::{Config, Next, Parts};
use crate::fetch::{Document, Fetcher, shown};
use crate::link::{follow, next_in, with_parameter};
use crate::locate::Place;
use crate::report::Reporter;

/// Polls one document.
pub(crate) struct HttpJsonPoller {
    source: Source,
    client: Client,
    mapper: Mapper,
    reporter: Reporter,
    resource: Vec<(String, String)>,
    clock: Clock,
}

/// The document, and where what is in it.
struct Source {
    url: Uri,
    fetcher: Fetcher,
    items: Place,
    key_attribute: String,
    next: Next,
    max_pages: u32,
}

/// What is left of a poll's time when reading must stop.
const LAST_WORDS: Duration = Duration::from_secs(1);

impl HttpJsonPoller {
    pub(crate) fn new(
        config: Config,
        resource: BTreeMap<String, String>,
        parts: Parts,
        context: &CreateContext<'_>,
    ) -> HttpJsonPoller {
        HttpJsonPoller {
            client: parts.client.clone(),
            mapper: Mapper::new(Arc::new(parts.plan)),
            reporter: Reporter::new(context),
            resource: resource.into_iter().collect(),
            clock: context.clock.clone(),
            source: Source {
                fetcher: Fetcher::new(&config, parts.client, parts.auth),
                url: parts.url,
                items: parts.items,
                key_attribute: config.key_attribute,
                next: parts.next,
                max_pages: config.pagination.max_pages,
            },
        }
    }

    async fn pass(&mut self, tick: &Tick, output: &PollOutput) -> Result<PassEnd, PollError> {
        let HttpJsonPoller { source, mapper, reporter, resource, .. } = self;
        mapper.begin((tick.time / 1_000_000_000) as i64);
        let (pages, not_modified) = (Arc::clone(&reporter.pages), Arc::clone(&reporter.not_modified));
        let outputs = mapper.plan().outputs().to_vec();
        let mut batcher = Batcher::new(&outputs, resource, tick.time, reporter);
        let (mut url, mut seen) = (source.url.clone(), HashSet::new());
        loop {
            if seen.len() == source.max_pages as usize {
                let message = format!("{} has more than `pagination.max_pages` ({}) pages", shown(&url), seen.len());
                return Err(PollError::new("too_many_pages", message));
            }
            if !seen.insert(url.to_string()) {
                return Err(PollError::new("repeated_page", format!("a page of {} leads to itself", shown(&url))));
            }
            let document = source.fetcher.get(&url).await?;
            pages.add(1.0);
            not_modified.add(f64::from(u8::from(document.is_same)));
            let (items, next) = source.read(&url, &document)?;
            mapper.page(&items, &mut batcher);
            output.send(batcher.take()).await?;
            match next {
                Some(next) => url = next,
                None => break,
            }
        }
        mapper.end(true, &mut batcher);
        output.send(batcher.take()).await?;
        Ok(PassEnd::Complete)
    }
}

impl Source {
    /// The items of a document, and the next page's URL.
    fn read(&self, url: &Uri, document: &Document) -> Result<(Vec<Item>, Option<Uri>), PollError> {
        let wrong = |why: String| PollError::new("not_understood", format!("{}: {why}", shown(url)));
        let parsed = parse_json(&document.body).map_err(|error| wrong(format!("it is not JSON: {error}")))?;
        let next = self.next(url, document, &parsed).map_err(wrong)?;
        let items = self.items.items(parsed, &self.key_attribute).map_err(wrong)?;
        Ok((items, next))
    }

    fn next(&self, url: &Uri, document: &Document, parsed: &Attribute) -> Result<Option<Uri>, String> {
        match &self.next {
            Next::None => Ok(None),
            Next::Url(place) => place.text_in(parsed)?.map(|link| follow(url, link)).transpose(),
            Next::Cursor(place, parameter) => {
                place.text_in(parsed)?.map(|cursor| with_parameter(url, parameter, cursor)).transpose()
            }
            Next::Header => next_in(&document.headers).map(|link| follow(url, link)).transpose(),
        }
    }
}

#[async_trait]
impl Poller for HttpJsonPoller {
    async fn start(&mut self, _: &Host) -> Result<(), StartError> {
        self.client.start(&self.source.url).map_err(StartError::new)
    }

    async fn poll(&mut self, tick: &Tick, output: &PollOutput) -> Result<PassEnd, PollError> {
        let left = tick.deadline.saturating_sub(self.clock.now().mono);
        let limit = left.saturating_sub(LAST_WORDS.min(left / 5));
        let clock = self.clock.clone();
        let passed = clock.timeout(limit, self.pass(tick, output)).await;
        let result = passed.unwrap_or_else(|| {
            let message = format!("{} did not give all pages within {limit:?}", shown(&self.source.url));
            Err(PollError::new("timeout", message))
        });
        self.reporter.ended(self.mapper.stats());
        if let Err(error) = &result {
            self.reporter.failed(error.reason);
        }
        result
    }

    /// The document is what the endpoint would have answered, one page.
    async fn replay(&mut self, document: &[u8], tick: &Tick, output: &PollOutput) -> Result<PassEnd, PollError> {
        let wrong = |why: String| PollError::new("not_understood", why);
        let parsed = parse_json(document).map_err(|error| wrong(format!("the document is not JSON: {error}")))?;
        let items = self.source.items.items(parsed, &self.source.key_attribute).map_err(wrong)?;
        self.mapper.begin((tick.time / 1_000_000_000) as i64);
        let outputs = self.mapper.plan().outputs().to_vec();
        let mut batcher = Batcher::new(&outputs, &self.resource, tick.time, &mut self.reporter);
        for page in items.chunks(1000) {
            self.mapper.page(page, &mut batcher);
            output.send(batcher.take()).await?;
        }
        self.mapper.end(true, &mut batcher);
        output.send(batcher.take()).await?;
        self.reporter.ended(self.mapper.stats());
        Ok(PassEnd::Complete)
    }

    async fn check(&mut self) -> Vec<CheckRow> {
        let url = self.source.url.clone();
        let document = self.source.fetcher.get(&url).await;
        let read = document.and_then(|document| self.source.read(&url, &document));
        let (verdict, detail) = match read {
            Ok((items, None)) => (Verdict::Pass, format!("{} items", items.len())),
            Ok((items, Some(_))) => (Verdict::Pass, format!("{} items on the first page", items.len())),
            Err(error) => (Verdict::Fail, error.message),
        };
        vec![CheckRow { what: format!("get {}", shown(&url)), verdict, detail, advice: String::new() }]
    }
}
