//! The worlds of `plugins/wit` as guests.

use steadyline_component::async_trait;
use wasmtime::component::InstancePre;
use wasmtime::{Result, Store};

use crate::bindings::otlp::exports::steadyline::plugin::otlp_processor::Signal;
use crate::bindings::otlp::{LogsAndTracesProcessor, LogsAndTracesProcessorPre};
use crate::bindings::processor::exports::steadyline::plugin::metrics_processor::{Batch, Outcome};
use crate::bindings::processor::{Processor, ProcessorPre};
use crate::bindings::receiver::exports::steadyline::plugin::poller::{Page, Tick};
use crate::bindings::receiver::{Receiver, ReceiverPre};
use crate::data::Data;
use crate::plugin::Guest;

#[async_trait]
impl Guest for Receiver {
    type Pre = ReceiverPre<Data>;
    type Input<'a> = Tick;
    type Output = Page;
    const WRONG: &'static str = "this is no plugin of the world `receiver`:";

    fn prepare(pre: InstancePre<Data>) -> Result<Self::Pre> {
        ReceiverPre::new(pre)
    }

    async fn instantiate(pre: &Self::Pre, store: &mut Store<Data>) -> Result<Self> {
        pre.instantiate_async(store).await
    }

    async fn start(&self, store: &mut Store<Data>, config: &str) -> Result<std::result::Result<(), String>> {
        self.steadyline_plugin_poller().call_start(store, config).await
    }

    async fn call<'a>(
        &self,
        store: &mut Store<Data>,
        tick: Self::Input<'a>,
    ) -> Result<std::result::Result<Page, String>> {
        self.steadyline_plugin_poller().call_poll(store, tick).await
    }
}

#[async_trait]
impl Guest for Processor {
    type Pre = ProcessorPre<Data>;
    type Input<'a> = Batch<'a>;
    type Output = Outcome;
    const WRONG: &'static str = "this is no plugin of the world `processor`, which metrics need:";

    fn prepare(pre: InstancePre<Data>) -> Result<Self::Pre> {
        ProcessorPre::new(pre)
    }

    async fn instantiate(pre: &Self::Pre, store: &mut Store<Data>) -> Result<Self> {
        pre.instantiate_async(store).await
    }

    async fn start(&self, store: &mut Store<Data>, config: &str) -> Result<std::result::Result<(), String>> {
        self.steadyline_plugin_metrics_processor().call_start(store, config).await
    }

    async fn call<'a>(
        &self,
        store: &mut Store<Data>,
        batch: Self::Input<'a>,
    ) -> Result<std::result::Result<Outcome, String>> {
        self.steadyline_plugin_metrics_processor().call_process(store, batch).await
    }
}

#[async_trait]
impl Guest for LogsAndTracesProcessor {
    type Pre = LogsAndTracesProcessorPre<Data>;
    type Input<'a> = (Signal, &'a [u8]);
    type Output = Vec<u8>;
    const WRONG: &'static str =
        "this is no plugin of the world `logs-and-traces-processor`, which logs and traces need:";

    fn prepare(pre: InstancePre<Data>) -> Result<Self::Pre> {
        LogsAndTracesProcessorPre::new(pre)
    }

    async fn instantiate(pre: &Self::Pre, store: &mut Store<Data>) -> Result<Self> {
        pre.instantiate_async(store).await
    }

    async fn start(&self, store: &mut Store<Data>, config: &str) -> Result<std::result::Result<(), String>> {
        self.steadyline_plugin_otlp_processor().call_start(store, config).await
    }

    async fn call<'a>(
        &self,
        store: &mut Store<Data>,
        (signal, request): Self::Input<'a>,
    ) -> Result<std::result::Result<Vec<u8>, String>> {
        self.steadyline_plugin_otlp_processor().call_process(store, signal, request).await
    }
}
