//! What is measured: each table once, for criterion and for the report.

use criterion::{BenchmarkId, Criterion, Throughput};

/// Somebody who can do a turn.
pub struct Runner {
    pub who: String,
    pub turn: Box<dyn FnMut()>,
}

impl Runner {
    pub fn new(who: impl Into<String>, turn: impl FnMut() + 'static) -> Self {
        Self {
            who: who.into(),
            turn: Box::new(turn),
        }
    }
}

/// Everybody who does the same items. Answers were compared when it was made.
pub struct Rows {
    pub id: String,
    /// Items of a turn.
    pub items: usize,
    pub runners: Vec<Runner>,
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

    /// Rows `<id>/<who>/<items>` of criterion.
    pub fn bench(mut self, criterion: &mut Criterion) {
        let mut group = criterion.benchmark_group(&self.id);
        group.throughput(Throughput::Elements(self.items as u64));
        if self.items > 4_096 {
            group.sample_size(10);
        }
        for runner in &mut self.runners {
            let id = BenchmarkId::new(&runner.who, self.items);
            group.bench_function(id, |bencher| bencher.iter(&mut runner.turn));
        }
        group.finish();
    }
}
