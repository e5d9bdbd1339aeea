//! What the engine tells `tracing`: a span for each batch, and events of devices.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pars_engine::fault::{Fault, FaultScript};
use pars_engine::{Engine, GpuPolicy, Routing};
use support::{Toy, ToyJob, quiet_workers, reference};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Keeps the fields of every span and event of the engine.
#[derive(Clone, Default)]
struct Listener {
    heard: Arc<Mutex<Vec<BTreeMap<String, String>>>>,
    next: Arc<AtomicU64>,
}

struct Fields(BTreeMap<String, String>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }
}

impl Listener {
    fn hear(&self, metadata: &Metadata<'_>, record: impl FnOnce(&mut Fields)) {
        let mut fields = Fields(BTreeMap::from([(
            "name".to_owned(),
            metadata.name().to_owned(),
        )]));
        record(&mut fields);
        self.heard.lock().unwrap().push(fields.0);
    }

    fn find(&self, wanted: &[(&str, &str)]) -> bool {
        self.heard.lock().unwrap().iter().any(|fields| {
            wanted
                .iter()
                .all(|(name, part)| fields.get(*name).is_some_and(|text| text.contains(part)))
        })
    }
}

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("pars_engine")
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        self.hear(span.metadata(), |fields| span.record(fields));
        Id::from_u64(self.next.fetch_add(1, Ordering::SeqCst) + 1)
    }

    fn event(&self, event: &Event<'_>) {
        self.hear(event.metadata(), |fields| event.record(fields));
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[test]
fn batches_and_devices_are_heard_of() {
    quiet_workers();
    let listener = Listener::default();
    tracing::subscriber::set_global_default(listener.clone()).unwrap();
    let engine = |script| {
        let engine = Engine::builder()
            .gpu(GpuPolicy::Off)
            .without_standard_kernels()
            .kernel::<Toy>()
            .routing(Routing::PreferDevice)
            .faulty_device(script)
            .build()
            .unwrap();
        assert!(engine.wait_ready(Duration::from_secs(20)));
        let jobs = (0..10).map(ToyJob::new).collect();
        let expected: Vec<_> = (0..10).map(reference).collect();
        assert_eq!(engine.call_many_blocking::<Toy>(jobs).unwrap(), expected);
        engine
    };
    let lost = engine(FaultScript::new().named("one").at(0, Fault::Lose));
    // It rests; the CPU answers the next ones.
    assert_eq!(
        lost.call_blocking::<Toy>(ToyJob::new(3)).unwrap(),
        reference(3)
    );
    drop(lost);
    drop(engine(
        FaultScript::new().named("two").at(0, Fault::Garbage),
    ));
    for wanted in [
        &[
            ("name", "batch"),
            ("kernel", "toy"),
            ("slot", "0"),
            ("jobs", "1"),
        ][..],
        &[
            ("name", "batch"),
            ("kernel", "toy"),
            ("slot", "1"),
            ("jobs", "10"),
        ],
        &[("name", "device"), ("adapter", "one"), ("slot", "1")],
        &[
            ("message", "device ready"),
            ("adapter", "one"),
            ("kernel", "toy"),
        ],
        &[("message", "device failed"), ("adapter", "one")],
        &[("message", "ALARM"), ("adapter", "two")],
    ] {
        assert!(
            listener.find(wanted),
            "{wanted:?}\n{:#?}",
            listener.heard.lock().unwrap()
        );
    }
}
