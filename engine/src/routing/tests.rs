use super::*;

fn costs(fixed: u32, job: u32) -> Costs {
    let line = Line {
        fixed: f64::from(fixed) * 1e3,
        unit: f64::from(job) * 1e3,
        byte: 0.0,
    };
    Costs(vec![(0, line)])
}

const fn limits(batch: usize, depth: usize) -> Limits {
    Limits {
        batch,
        bytes: usize::MAX,
        depth,
    }
}

fn jobs(count: usize) -> Jobs {
    Jobs {
        group: 0,
        count,
        size: Size {
            weight: float(count),
            bytes: 0.0,
        },
    }
}

/// Two CPU threads of 100 us a job and devices of these costs.
fn routes(routing: Routing, devices: &[(u32, u32)]) -> Routes {
    let config = Config {
        cpu_threads: 2,
        max_batch: 4_096,
        routing,
        ..Config::default()
    };
    let mut routes = Routes::new(&config, 1);
    routes.set_cpu(&costs(0, 100), jobs(1));
    for (slot, (fixed, job)) in devices.iter().enumerate() {
        routes.add(&format!("device {slot}"), &Arc::default());
        routes.ready(slot, &costs(*fixed, *job), limits(1_024, 2));
    }
    routes
}

fn turns(routes: &Routes, count: usize, now: Instant) -> (Option<usize>, Option<usize>) {
    let device = routes.device_turn(0, &jobs(count), now);
    (
        device.map(|(most, _)| most),
        routes.cpu_turn(&jobs(count), 1, now),
    )
}

#[test]
fn without_a_device_everything_is_the_cpus() {
    let now = Instant::now();
    let mut routes = routes(Routing::Measured, &[(1_000, 1)]);
    routes.shut(0);
    assert_eq!(
        turns(&routes, 1_000, now),
        (None, Some(5)),
        "500 us of jobs"
    );
    assert_eq!(
        routes.report("k").why,
        "everything to the CPU: no device is ready"
    );
}

#[test]
fn a_batch_goes_where_it_is_done_first() {
    let now = Instant::now();
    // A device so much quicker than the CPU that sharing does not pay.
    let routes = routes(Routing::Measured, &[(1_000, 1)]);
    // 20 jobs: 1,000 us on the CPU against 1,020 us.
    assert_eq!(turns(&routes, 20, now), (None, Some(5)));
    // 400 jobs: 20 ms against 1.4 ms; a hundredth less with the CPU's help.
    let (device, cpu) = turns(&routes, 2_000, now);
    assert_eq!((device, cpu), (Some(1_024), None));
    let first = routes.report("k").devices[0].2.unwrap();
    assert!((20..=23).contains(&first), "{first}");
    assert_eq!(turns(&routes, first - 1, now).0, None);
    assert!(turns(&routes, first, now).0.is_some());
}

/// A device as quick as four threads beside two of them.
#[test]
fn a_batch_is_shared_where_that_ends_sooner() {
    let now = Instant::now();
    let mut routes = routes(Routing::Measured, &[(0, 25)]);
    let (device, cpu) = turns(&routes, 600, now);
    let device = device.unwrap();
    assert!((395..=405).contains(&device), "{device}");
    assert_eq!(cpu, Some(5));
    // Once the device has its part, the rest is the CPU's although the device could take more.
    routes.started(0, &jobs(device), now);
    let (more, cpu) = turns(&routes, 600 - device, now);
    assert!(more.unwrap_or(0) <= 2, "{more:?}");
    assert_eq!(cpu, Some(5));
    // And what the CPU has not done when the device is nearly free, is shared again.
    let later = now + Duration::from_micros(9_900);
    let (more, _) = turns(&routes, 600 - device, later);
    assert!(more.unwrap() > 100, "{more:?}");
}

/// The device has declined what the CPU now thinks is the device's.
#[test]
fn what_every_device_declined_is_the_cpus() {
    let now = Instant::now();
    let mut routes = routes(Routing::Measured, &[(1_000, 1), (1_000, 1)]);
    let cpu = |routes: &Routes, version| routes.cpu_turn(&jobs(1_000), version, now);
    routes.looked(0, 7, true);
    routes.looked(1, 7, false);
    assert_eq!(
        cpu(&routes, 7),
        None,
        "the second may take it when it is due"
    );
    routes.looked(1, 7, true);
    assert_eq!(cpu(&routes, 7), Some(5));
    assert_eq!(cpu(&routes, 8), None, "they have not seen this version");
    routes.started(1, &jobs(1), now);
    assert_eq!(
        cpu(&routes, 7),
        None,
        "the second looks again when it is done"
    );
    routes.shut(1);
    assert_eq!(cpu(&routes, 7), Some(5));
}

#[test]
fn several_devices_and_the_cpu_end_together() {
    let now = Instant::now();
    let mut routes = routes(Routing::Measured, &[(100, 50), (100, 25), (1_000_000, 1)]);
    let count = 1_000;
    let part = |who| float(routes.share(who, &jobs(count), now, false));
    let (cpu, one, two, late) = (part(None), part(Some(0)), part(Some(1)), part(Some(2)));
    assert!((cpu + one + two - float(count)).abs() <= 3.0);
    assert!(
        (cpu * 50.0 - (100.0 + one * 50.0)).abs() <= 60.0,
        "{cpu} {one}"
    );
    assert!((two * 25.0 - one * 50.0).abs() <= 60.0, "{one} {two}");
    assert!(late < 1.0, "it would begin too late");
    // A device that is busy gets less, and nothing while it is full.
    routes.started(1, &jobs(400), now);
    let busy = routes.device_turn(1, &jobs(count), now).unwrap().0;
    assert!(float(busy) < two);
    routes.started(1, &jobs(400), now);
    assert_eq!(routes.device_turn(1, &jobs(count), now), None);
    routes.finished(1, &jobs(400), None, now);
    assert!(routes.device_turn(1, &jobs(count), now).is_some());
}

/// Whatever the costs and whatever is in flight, somebody is to do the jobs.
#[test]
fn no_job_is_left_to_nobody() {
    let now = Instant::now();
    let mut random = 7_u64;
    let mut next = |below: u64| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (random >> 33) % below
    };
    for _ in 0..20_000 {
        let routing = [Routing::Measured, Routing::PreferDevice][next(2) as usize];
        let devices: Vec<_> = (0..next(4))
            .map(|_| (next(3_000) as u32, 1 + next(200) as u32))
            .collect();
        let mut routes = routes(routing, &devices);
        for slot in 0..devices.len() {
            for _ in 0..next(3) {
                routes.started(slot, &jobs(1 + next(500) as usize), now);
            }
        }
        let count = 1 + next(3_000) as usize;
        let at = now + Duration::from_micros(next(20_000));
        let shares = (0..devices.len())
            .map(Some)
            .chain([None])
            .map(|who| routes.share(who, &jobs(count), at, false));
        assert!(shares.sum::<usize>() >= count, "{devices:?}");
    }
}

#[test]
fn a_device_that_is_late_keeps_nothing_from_the_cpu() {
    let now = Instant::now();
    let mut routes = routes(Routing::Measured, &[(1_000, 1)]);
    routes.started(0, &jobs(1_000), now);
    routes.started(0, &jobs(1_000), now);
    // 20 jobs: 1 ms on the CPU. The device should be free in 4 ms.
    assert_eq!(turns(&routes, 20, now).1, Some(5));
    // Nearly free: better wait for it.
    let nearly = now + Duration::from_micros(3_999);
    assert_eq!(turns(&routes, 1_000, nearly).1, None);
    // It hangs.
    let late = now + Duration::from_millis(200);
    assert_eq!(turns(&routes, 1_000, late).1, Some(5));
}

#[test]
fn a_device_that_is_never_quicker_gets_nothing_unless_preferred() {
    for (routing, device, cpu) in [
        (Routing::Measured, None, Some(5)),
        (Routing::PreferDevice, Some(64), None),
    ] {
        let mut routes = routes(routing, &[(0, 2_000)]);
        routes.ready(0, &costs(0, 2_000), limits(64, 1));
        routes.longest = f64::INFINITY;
        assert_eq!(turns(&routes, 1_000, Instant::now()), (device, cpu));
    }
}

#[test]
fn batches_of_a_device_are_bounded_in_jobs_and_in_time() {
    let now = Instant::now();
    let mut routes = routes(Routing::PreferDevice, &[(1_000, 1_000)]);
    routes.longest = 21e6;
    assert_eq!(turns(&routes, 5_000, now).0, Some(20));
    routes.longest = 0.0;
    assert_eq!(turns(&routes, 5_000, now).0, Some(1));
}

#[test]
fn what_is_seen_moves_the_crossover() {
    let now = Instant::now();
    let mut routes = routes(Routing::Measured, &[(1_000, 1)]);
    let before = routes.report("k").devices[0].2.unwrap();
    for _ in 0..200 {
        routes.started(0, &jobs(10), now);
        routes.finished(0, &jobs(10), Some(Duration::from_millis(4)), now);
    }
    let after = routes.report("k").devices[0].2.unwrap();
    assert!(after > 3 * before, "{before} {after}");
    for _ in 0..200 {
        routes.cpu_took(&jobs(10), Duration::from_millis(8), Instant::now());
    }
    let slow_cpu = routes.report("k").devices[0].2.unwrap();
    assert!(slow_cpu < after / 3, "{after} {slow_cpu}");
}

#[test]
fn cpu_turns_keep_chunks_together_and_threads_busy() {
    let config = Config {
        cpu_threads: 4,
        ..Config::default()
    };
    let mut routes = Routes::new(&config, 64);
    routes.set_cpu(&costs(50, 20), jobs(1));
    let turn = |waiting| routes.cpu_turn(&jobs(waiting), 1, Instant::now());
    assert_eq!(turn(1), Some(1));
    assert_eq!(turn(4), Some(1));
    assert_eq!(turn(100), Some(25), "a quarter each");
    assert_eq!(turn(400), Some(64));
    assert_eq!(
        turn(100_000),
        Some(64),
        "a chunk is 1.3 ms, more than a turn"
    );
    let small = Routes::new(&config, 1);
    assert_eq!(small.cpu_turn(&jobs(8_000), 1, Instant::now()), Some(1_000));
}
