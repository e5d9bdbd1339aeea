//! What is measured: each table once, for criterion and for the report.

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput};

use crate::turns::{Runner, Turn};

/// Everybody who does the same items. Answers were compared when it was made.
pub struct Rows {
    pub id: String,
    /// Items of a turn.
    pub items: usize,
    pub runners: Vec<Runner<'static>>,
}

impl Rows {
    pub fn new(id: impl Into<String>, items: usize) -> Self {
        Self {
            id: id.into(),
            items,
            runners: Vec::new(),
        }
    }

    pub fn push(&mut self, who: impl Into<String>, turn: impl FnMut() + 'static) {
        self.runners.push(Runner::new(who, turn));
    }

    /// Somebody whose turns are done and timed elsewhere.
    pub fn push_elsewhere(
        &mut self,
        who: impl Into<String>,
        turn: impl FnMut() -> Duration + 'static,
    ) {
        self.runners.push(Runner {
            who: who.into(),
            turn: Turn::Elsewhere(Box::new(turn)),
        });
    }

    /// Rows `<id>/<who>/<items>` of criterion.
    pub fn bench(mut self, criterion: &mut Criterion) {
        let mut group = criterion.benchmark_group(&self.id);
        group.throughput(Throughput::Elements(self.items as u64));
        if self.items > 4_096 {
            group.sample_size(10);
        }
        for runner in &mut self.runners {
            let id = BenchmarkId::new(&runner.who, self.items);
            group.bench_function(id, |bencher| match &mut runner.turn {
                Turn::Plain(turn) => bencher.iter(turn),
                Turn::Elsewhere(turn) => {
                    bencher.iter_custom(|turns| (0..turns).map(|_| turn()).sum())
                }
            });
        }
        group.finish();
    }
}
