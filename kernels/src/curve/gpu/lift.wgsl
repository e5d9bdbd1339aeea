// The points of a batch: checked, with the y of the parity asked for where none is given. One thread a point.
@compute @workgroup_size(THREADS)
fn lift(@builtin(global_invocation_id) id: vec3<u32>) {
    let points = batch.count * POINTS;
    if id.x >= points { return; }
    let at = select(id.x, points - 1u - id.x, batch.reverse != 0u);
    let home = (at / POINTS) * ENTRIES + (at % POINTS) * 8u;
    let x = shrink(load(at * 2u));
    var y = shrink(load(at * 2u + 1u));
    let rhs = settle(add(mul(sqr(x), x), coefficient()));
    let flag = states[batch.flags + at];
    if flag < 2u {
        y = power(rhs, ROOT_START, ROOT_STEPS);
        // As a number, and so not above p.
        let number = mul(y, unit());
        if (number.l0 & 1u) != flag { y = shrink(sub4(zero(), y)); }
    }
    let right = is_zero(sub4(sqr(y), rhs));
    write_point(home, Affine(x, y));
    write_third(home, zero(), mark(select(NO_POINT, POINT, right)));
}
