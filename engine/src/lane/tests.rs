use super::*;
use crate::calibrate::{Line, Size};
use crate::gate::{Bounds, Load, Share};
use crate::mldsa::MlDsaVerify;
use crate::options::SubmitOptions;

/// The device is quicker for one job, two CPU threads are quicker for two: once the CPU has
/// taken one of two, the other is the device's, which has declined before and must look again.
#[test]
fn a_device_that_declined_is_told_when_the_rest_is_its_own() {
    let config = Arc::new(Config {
        cpu_threads: 2,
        ..Config::default()
    });
    let gate = Arc::new(Gate::new(Bounds {
        jobs: 10,
        bytes: 1 << 20,
        work: u64::MAX,
        caller_jobs: 10,
    }));
    let lane = Arc::new(Lane::<MlDsaVerify>::new(
        Arc::clone(&gate),
        config,
        crate::KeyCache::default(),
    ));
    let any: Arc<dyn AnyLane> = lane.clone();
    let micros = |job: u32| {
        let unit = f64::from(job) * 1e3;
        Costs(vec![(
            0,
            Line {
                unit,
                ..Line::default()
            },
        )])
    };
    lane.add_slot("device", &Arc::default());
    let one = Jobs {
        group: 0,
        count: 1,
        size: Size {
            weight: 1.0,
            bytes: 0.0,
        },
    };
    lane.desk.lock().routes.set_cpu(&micros(147), one);
    let limits = Limits {
        batch: 64,
        bytes: usize::MAX,
        depth: 1,
    };
    lane.ready_slot(0, &micros(127), limits);
    let jobs: Vec<_> = MlDsaVerify::known_answers().into_iter().take(2).collect();
    let expected: Vec<_> = jobs.iter().map(|(_, answer)| *answer).collect();
    assert_eq!(gate.admit_some([Load::default(); 2].into_iter()), 2);
    let shares = [Share::NOTHING; 2];
    let mut jobs = jobs
        .into_iter()
        .map(|(job, _)| job)
        .collect::<Vec<_>>()
        .into_iter();
    let Some(tickets) = lane.push_many(&any, &mut jobs, &shares, &SubmitOptions::default()) else {
        panic!("the lane is open");
    };
    assert_eq!(lane.cpu_wanted(), 2);
    assert!(lane.devices_should_look());
    let declined = lane.device_turn(0);
    assert!(matches!(
        declined,
        DeviceTurn::Nothing(Outlook {
            left_to_cpu: true,
            due: None
        })
    ));
    assert!(!lane.devices_should_look());
    assert_eq!(lane.cpu_class(), Some(Priority::BlockExecution));
    assert!(!lane.cpu_turn(Priority::Consensus));
    assert!(lane.cpu_turn(Priority::BlockExecution));
    assert!(lane.cpu_wanted() == 0 && lane.devices_should_look());
    let DeviceTurn::Batch(batch) = lane.device_turn(0) else {
        panic!("the rest is the device's");
    };
    let answers = expected.iter().skip(1).copied().map(Ok).collect();
    lane.answer(batch, answers);
    let mut got = Vec::new();
    tickets.take_into(&mut got).unwrap();
    assert_eq!(got, expected);
    assert_eq!(gate.state().jobs, 0);
}
