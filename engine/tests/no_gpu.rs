//! A machine without a GPU to use: one line in the log, and the CPU works.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pars_engine::{Engine, GpuPolicy};
use support::{Toy, ToyJob, reference};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// Writes down what an operator reads at the usual level.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

struct Text<'a>(&'a mut String);

impl Visit for Text<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            *self.0 = format!("{value:?}");
        }
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event()
            && *metadata.level() <= Level::INFO
            && metadata.target().starts_with("pars_engine")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn event(&self, event: &Event<'_>) {
        let mut text = String::new();
        event.record(&mut Text(&mut text));
        self.0.lock().unwrap().push(text);
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[test]
fn without_a_gpu_there_is_one_line_and_the_cpu_works() {
    let log = Log::default();
    tracing::subscriber::set_global_default(log.clone()).unwrap();
    let engine = Engine::builder()
        .gpu(GpuPolicy::Named("an adapter that nobody has".to_owned()))
        .no_cache_folder()
        .without_standard_kernels()
        .kernel::<Toy>()
        .build()
        .unwrap();
    // The CPU does not wait for the search.
    assert_eq!(
        engine.call_blocking::<Toy>(ToyJob::new(5)).unwrap(),
        reference(5)
    );
    assert!(engine.wait_ready(Duration::from_secs(60)));
    assert_eq!(
        engine.call_blocking::<Toy>(ToyJob::new(6)).unwrap(),
        reference(6)
    );
    assert_eq!(engine.stats().kernels[0].backends.len(), 1);
    let lines = log.0.lock().unwrap();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].contains("the engine works on the CPU"),
        "{lines:?}"
    );
}
