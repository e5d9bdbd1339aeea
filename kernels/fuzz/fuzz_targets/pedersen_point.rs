//! Bytes that parse as a point are the one encoding of a point of the curve, and the group law leads from points to points.
//!
//! Input: a selector, then bytes of a point themselves, or bytes laid over the coordinates of a good one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pars_kernels::{
    field::Fr,
    pedersen::{Point, commit, verify_opening},
};
use std::sync::OnceLock;

fn good() -> &'static Point {
    static GOOD: OnceLock<Point> = OnceLock::new();
    GOOD.get_or_init(|| commit(Fr::from_u64(7), Fr::from_u64(11)))
}

fuzz_target!(|data: &[u8]| {
    let Some((&selector, data)) = data.split_first() else {
        return;
    };
    let mut bytes = good().to_bytes();
    let at = match selector & 1 {
        0 => 0,
        _ => usize::from(selector >> 1) % 64,
    };
    for (old, new) in bytes[at..].iter_mut().zip(data) {
        *old = *new;
    }
    let Ok(point) = Point::from_bytes(&bytes) else {
        return;
    };
    assert_eq!(point.to_bytes(), bytes, "one point, two encodings");
    for sum in [point.plus(point), point.plus(*good()), good().plus(point)] {
        assert_eq!(Point::from_bytes(&sum.to_bytes()), Ok(sum), "a sum that is no point");
    }
    assert_eq!(point.plus(*good()), good().plus(point));
    assert_eq!(point.plus(point.negated()), Point::Identity);
    let opens = verify_opening(point, Fr::from_u64(7), Fr::from_u64(11));
    assert_eq!(opens, point == *good());
});
