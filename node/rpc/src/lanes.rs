//! Threads that talk to clients and do nothing else.
//!
//! A cheap call is a read, a write, and little between them. Where several threads share the connections, as on
//! tokio's runtime of many threads, they wake each other, take tasks from each other and wait for a processor in each
//! other's place, which is a good part of such a call's time. Here a connection stays on one thread, which has a
//! reactor of its own.

use std::io;
use std::sync::Arc;
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// Lanes at most, on however many processors.
const MOST: usize = 8;

/// Some threads, each with the connections that were given to it. They end when this is dropped, and their
/// connections with them.
#[derive(Debug)]
pub(crate) struct Lanes(Vec<Lane>);

#[derive(Debug)]
struct Lane {
    runtime: Handle,
    /// One reference more than the lane has connections.
    counted: Arc<()>,
    /// Sends nothing: its end is the lane's.
    going_on: oneshot::Sender<()>,
    /// Ends when the thread holds nothing any more.
    ended: oneshot::Receiver<()>,
}

impl Lanes {
    /// One for every two processors: the others have the clients' bytes to move, calls to run, blocks to build.
    pub(crate) fn start() -> io::Result<Self> {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        Self::of((processors / 2).clamp(1, MOST))
    }

    fn of(count: usize) -> io::Result<Self> {
        (0..count)
            .map(|_| Lane::start())
            .collect::<io::Result<_>>()
            .map(Self)
    }

    /// What comes of `work` on the lane with the fewest connections; `None` if it panicked. Dropping what is
    /// returned ends the work.
    pub(crate) fn run<F>(&self, work: F) -> impl Future<Output = Option<F::Output>> + Send + use<F>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let mut task = JoinSet::new();
        let least = self.0.iter().min_by_key(|lane| lane.connections());
        if let Some(lane) = least {
            let counted = Arc::clone(&lane.counted);
            let work = async move {
                let result = work.await;
                drop(counted);
                result
            };
            task.spawn_on(work, &lane.runtime);
        }
        async move { task.join_next().await?.ok() }
    }

    /// Ends them and what is left of their work, and waits until nothing is held any more.
    pub(crate) async fn end(self) {
        for lane in self.0 {
            drop(lane.going_on);
            // It sends nothing: this is the end of the thread.
            let _ = lane.ended.await;
        }
    }
}

impl Lane {
    fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (going_on, goes_on) = oneshot::channel::<()>();
        let (ending, ended) = oneshot::channel::<()>();
        thread::Builder::new()
            .name("rpc-lane".to_owned())
            .spawn(move || {
                // It ends when the other half is dropped.
                let _ = runtime.block_on(goes_on);
                drop(runtime);
                drop(ending);
            })?;
        Ok(Self {
            runtime: handle,
            counted: Arc::new(()),
            going_on,
            ended,
        })
    }

    fn connections(&self) -> usize {
        Arc::strong_count(&self.counted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use tokio::time::sleep;

    /// Some work that does not end, and what is gone when it does.
    fn endless(
        lanes: &Lanes,
    ) -> (
        impl Future<Output = Option<()>> + use<>,
        oneshot::Receiver<()>,
    ) {
        let (held, gone) = oneshot::channel::<()>();
        let work = lanes.run(async move {
            let _held = held;
            std::future::pending().await
        });
        (work, gone)
    }

    fn loads(lanes: &Lanes) -> Vec<usize> {
        lanes.0.iter().map(|lane| lane.connections() - 1).collect()
    }

    #[tokio::test]
    async fn work_stays_on_one_of_the_threads() {
        let lanes = Lanes::of(2).unwrap();
        let work = async {
            let before = thread::current().id();
            sleep(Duration::from_millis(5)).await;
            assert_eq!(thread::current().id(), before);
            (before, thread::current().name().map(str::to_owned))
        };
        let (id, name) = lanes.run(work).await.unwrap();
        assert_ne!(id, thread::current().id());
        assert_eq!(name.as_deref(), Some("rpc-lane"));
        lanes.end().await;
    }

    #[tokio::test]
    async fn the_lane_with_the_least_to_do_is_next() {
        let lanes = Lanes::of(3).unwrap();
        let mut held: Vec<_> = (0..7).map(|_| endless(&lanes)).collect();
        assert_eq!(loads(&lanes), [3, 2, 2]);
        // Those of the second lane go away.
        for index in [4, 1] {
            let (work, gone) = held.swap_remove(index);
            drop(work);
            gone.await.unwrap_err();
        }
        while loads(&lanes) != [3, 0, 2] {
            sleep(Duration::from_millis(1)).await;
        }
        held.extend((0..2).map(|_| endless(&lanes)));
        assert_eq!(loads(&lanes), [3, 2, 2]);
        lanes.end().await;
        for (_, gone) in &mut held {
            gone.try_recv().unwrap_err();
        }
    }

    #[tokio::test]
    async fn a_panic_is_one_connections() {
        let lanes = Lanes::of(1).unwrap();
        assert_eq!(lanes.run(async { panic!("on purpose") }).await, None::<()>);
        assert_eq!(lanes.run(async { 5 }).await, Some(5));
    }

    #[tokio::test]
    async fn all_ends_with_the_lanes() {
        for orderly in [true, false] {
            let lanes = Lanes::of(2).unwrap();
            let (works, gone): (Vec<_>, Vec<_>) = (0..4).map(|_| endless(&lanes)).unzip();
            if orderly {
                lanes.end().await;
            } else {
                drop(lanes);
            }
            for gone in gone {
                gone.await.unwrap_err();
            }
            for work in works {
                assert_eq!(work.await, None);
            }
        }
    }
}
