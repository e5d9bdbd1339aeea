//! Who is connected, and how much each may ask: bounds per client, whatever the number of its
//! connections.
//!
//! A client is an IPv4 address, or the 64-bit prefix of an IPv6 address, which is what one household
//! or machine is given.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// So many clients are known before those are looked for that have gone.
const SWEEP_FROM: usize = 1_024;

/// What one client may do; 0 is no bound.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ClientLimits {
    /// Connections at a time.
    pub(crate) connections: usize,
    /// Requests a second over some time; as many at once, after a second of rest.
    pub(crate) requests_per_second: u32,
    /// Requests in work at a time.
    pub(crate) in_work: usize,
    /// Whether programs on the node's own machine are bounded too.
    pub(crate) loopback: bool,
}

/// All clients.
#[derive(Debug)]
pub(crate) struct Clients {
    limits: ClientLimits,
    known: Mutex<HashMap<IpAddr, Arc<Client>>>,
}

#[derive(Debug)]
struct Client {
    connections: AtomicUsize,
    in_work: AtomicUsize,
    bucket: Mutex<Bucket>,
}

/// Requests that may be made at once; it fills with time.
#[derive(Debug)]
struct Bucket {
    left: f64,
    at: Instant,
}

/// A connection of a client; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Guest {
    client: Arc<Client>,
    limits: ClientLimits,
}

/// A request in work.
#[derive(Debug)]
pub(crate) struct Work(Arc<Guest>);

/// Why a request is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// Too many in a short time.
    #[error("rate limit exceeded: {0} requests a second for one client")]
    Rate(u32),
    /// Too many at the same time.
    #[error("too many requests at a time for one client: at most {0}; wait for answers")]
    InWork(usize),
}

impl Clients {
    pub(crate) fn new(limits: ClientLimits) -> Self {
        Self {
            limits,
            known: Mutex::default(),
        }
    }

    /// Lets a connection in: with the client's bounds, without where it has none, and not at all where
    /// the client has as many as it may.
    pub(crate) fn enter(&self, address: IpAddr, now: Instant) -> Result<Option<Arc<Guest>>, ()> {
        let limits = self.limits;
        let address = address.to_canonical();
        let bounded =
            limits.connections > 0 || limits.requests_per_second > 0 || limits.in_work > 0;
        if !bounded || (address.is_loopback() && !limits.loopback) {
            return Ok(None);
        }
        let mut known = self.known.lock();
        if known.len() >= SWEEP_FROM {
            known.retain(|_, client| !client.is_gone(&limits, now));
        }
        let client = known.entry(household(address)).or_insert_with(|| {
            Arc::new(Client {
                connections: AtomicUsize::new(0),
                in_work: AtomicUsize::new(0),
                bucket: Mutex::new(Bucket {
                    left: f64::from(limits.requests_per_second),
                    at: now,
                }),
            })
        });
        let before = client.connections.fetch_add(1, Ordering::Relaxed);
        let guest = Guest {
            client: Arc::clone(client),
            limits,
        };
        if limits.connections > 0 && before >= limits.connections {
            return Err(());
        }
        Ok(Some(Arc::new(guest)))
    }
}

/// The address by which a client is counted.
fn household(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let prefix = u128::from(address) & !u128::from(u64::MAX);
            Ipv6Addr::from(prefix).into()
        }
    }
}

impl Client {
    /// Whether nothing would be different if the client were forgotten.
    fn is_gone(&self, limits: &ClientLimits, now: Instant) -> bool {
        self.connections.load(Ordering::Relaxed) == 0
            && now.saturating_duration_since(self.bucket.lock().at) > Duration::from_secs(1)
            && self.bucket.lock().filled(limits, now) >= f64::from(limits.requests_per_second)
    }
}

impl Bucket {
    fn filled(&self, limits: &ClientLimits, now: Instant) -> f64 {
        let rate = f64::from(limits.requests_per_second);
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        (self.left + passed * rate).min(rate)
    }
}

impl Guest {
    /// Takes a request into work, if the client may have another one.
    pub(crate) fn admit(self: &Arc<Self>, now: Instant) -> Result<Work, Refusal> {
        let Self { client, limits } = &**self;
        if limits.requests_per_second > 0 {
            let mut bucket = client.bucket.lock();
            let left = bucket.filled(limits, now);
            bucket.at = now.max(bucket.at);
            bucket.left = left;
            if left < 1.0 {
                return Err(Refusal::Rate(limits.requests_per_second));
            }
            bucket.left = left - 1.0;
        }
        let before = client.in_work.fetch_add(1, Ordering::Relaxed);
        let work = Work(Arc::clone(self));
        if limits.in_work > 0 && before >= limits.in_work {
            return Err(Refusal::InWork(limits.in_work));
        }
        Ok(work)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.client.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.0.client.in_work.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: ClientLimits = ClientLimits {
        connections: 3,
        requests_per_second: 10,
        in_work: 4,
        loopback: false,
    };

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn connections_are_counted_by_client() {
        let clients = Clients::new(LIMITS);
        let now = Instant::now();
        let guests: Vec<_> = (0..3)
            .map(|_| clients.enter(ip("203.0.113.7"), now).unwrap())
            .collect();
        assert!(clients.enter(ip("203.0.113.7"), now).is_err());
        assert!(clients.enter(ip("::ffff:203.0.113.7"), now).is_err());
        assert!(clients.enter(ip("203.0.113.8"), now).is_ok());
        drop(guests);
        assert!(clients.enter(ip("203.0.113.7"), now).is_ok());

        let six: Vec<_> = (1..=3)
            .map(|last| {
                clients
                    .enter(ip(&format!("2001:db8::{last}")), now)
                    .unwrap()
            })
            .collect();
        assert!(clients.enter(ip("2001:db8::ffff:1"), now).is_err());
        assert!(clients.enter(ip("2001:db8:0:1::1"), now).is_ok());
        drop(six);
    }

    #[test]
    fn the_own_machine_is_not_bounded_unless_asked_for() {
        let now = Instant::now();
        let clients = Clients::new(LIMITS);
        for address in ["127.0.0.1", "::1", "127.9.9.9"] {
            assert!(clients.enter(ip(address), now).unwrap().is_none());
        }
        let clients = Clients::new(ClientLimits {
            loopback: true,
            ..LIMITS
        });
        assert!(clients.enter(ip("127.0.0.1"), now).unwrap().is_some());
        let free = ClientLimits {
            connections: 0,
            requests_per_second: 0,
            in_work: 0,
            loopback: true,
        };
        assert!(
            Clients::new(free)
                .enter(ip("203.0.113.7"), now)
                .unwrap()
                .is_none()
        );
    }

    #[test]
    fn requests_are_bounded_over_time_and_at_a_time() {
        let clients = Clients::new(LIMITS);
        let start = Instant::now();
        let one = clients.enter(ip("203.0.113.7"), start).unwrap().unwrap();
        let two = clients.enter(ip("203.0.113.7"), start).unwrap().unwrap();
        let other = clients.enter(ip("203.0.113.9"), start).unwrap().unwrap();
        let held: Vec<_> = (0..4).map(|_| one.admit(start).unwrap()).collect();
        assert_eq!(two.admit(start).unwrap_err(), Refusal::InWork(4));
        assert!(other.admit(start).is_ok());
        drop(held);
        // Five of ten are used up.
        for _ in 0..5 {
            drop(two.admit(start).unwrap());
        }
        assert_eq!(one.admit(start).unwrap_err(), Refusal::Rate(10));
        let later = start + Duration::from_millis(250);
        for _ in 0..2 {
            drop(one.admit(later).unwrap());
        }
        assert_eq!(one.admit(later).unwrap_err(), Refusal::Rate(10));
        // A clock that seems to go back gives nothing.
        assert_eq!(one.admit(start).unwrap_err(), Refusal::Rate(10));
        // Rest fills it, but no further than for a second.
        let rested = later + Duration::from_secs(60);
        let taken = (0..20).filter(|_| two.admit(rested).is_ok()).count();
        assert_eq!(taken, 10);
    }

    #[test]
    fn leaving_does_not_fill_the_bucket_and_the_table_is_swept() {
        let clients = Clients::new(LIMITS);
        let start = Instant::now();
        for _ in 0..10 {
            let guest = clients.enter(ip("203.0.113.7"), start).unwrap().unwrap();
            drop(guest.admit(start).unwrap());
        }
        let guest = clients.enter(ip("203.0.113.7"), start).unwrap().unwrap();
        assert_eq!(guest.admit(start).unwrap_err(), Refusal::Rate(10));
        for number in 0..5_000_u32 {
            let address = IpAddr::from((0x0a00_0000 + number).to_be_bytes());
            let now = start + Duration::from_millis(10 * u64::from(number));
            drop(clients.enter(address, now).unwrap());
            assert!(clients.known.lock().len() <= SWEEP_FROM + 1);
        }
        assert!(
            clients.known.lock().contains_key(&ip("203.0.113.7")),
            "it is still connected"
        );
    }
}
