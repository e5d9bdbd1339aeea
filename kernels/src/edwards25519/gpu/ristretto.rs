//! ristretto255 in WGSL (RFC 9496 §4.3).

use super::shaders::{NO, YES, number};
use crate::field::wgsl::Form;

/// Decode, RFC 9496 §4.3.1, of encodings that are canonical.
pub(super) fn decode() -> String {
    format!(
        "
@compute @workgroup_size(THREADS)
fn ristretto_decode(@builtin(global_invocation_id) id: vec3<u32>) {{
    if id.x >= batch.count {{ return; }}
    let task = batch.tasks + task_of(id.x) * 3u;
    let encoded = input[task];
    let s = {number};
    let ss = sqr(s);
    let u1 = settle(minus(one(), ss));
    let u2 = settle(plus(one(), ss));
    let u2u2 = sqr(u2);
    let v = settle(minus(negate(mul(sqr(u1), d())), u2u2));
    let root = sqrt_ratio(one(), mul(v, u2u2));
    let den_x = mul(root.r, u2);
    let den_y = mul(mul(root.r, den_x), v);
    var x = mul(plus(s, s), den_x);
    if is_negative(x) {{ x = negate(x); }}
    let y = mul(u1, den_y);
    let t = mul(x, y);
    prepare(input[task + 1u], x, y, one(), t);
    let good = root.was_square && !is_negative(t) && !is_zero(y);
    results[input[task + 2u]] = select({NO}u, {YES}u, good);
}}
",
        number = number("encoded"),
    )
}

/// MAP of RFC 9496 §4.3.4, of one half of uniform bytes.
pub(super) fn map() -> String {
    format!(
        "
@compute @workgroup_size(THREADS)
fn ristretto_map(@builtin(global_invocation_id) id: vec3<u32>) {{
    if id.x >= batch.count {{ return; }}
    let task = batch.tasks + task_of(id.x) * 3u;
    let half = input[task];
    let t = {number};
    let r = mul(sqr(t), sqrt_m1());
    let u = mul(plus(r, one()), one_minus_d_sq());
    let v = mul(settle(minus(negate(one()), mul(r, d()))), plus(r, d()));
    let root = sqrt_ratio(u, v);
    var s = root.r;
    var c = negate(one());
    if !root.was_square {{
        s = mul(s, t);
        if !is_negative(s) {{ s = negate(s); }}
        c = r;
    }}
    let n = settle(minus(mul(mul(c, minus(r, one())), d_minus_one_sq()), v));
    let sv = mul(s, v);
    let ss = sqr(s);
    let w0 = plus(sv, sv);
    let w1 = mul(n, sqrt_ad_minus_one());
    let w2 = settle(minus(one(), ss));
    let w3 = settle(plus(one(), ss));
    prepare(input[task + 1u], mul(w0, w3), mul(w2, w1), mul(w1, w3), mul(w0, w2));
    results[input[task + 2u]] = {YES}u;
}}
",
        number = number("half"),
    )
}

/// Encode, RFC 9496 §4.3.2, of two points. All coordinates are twice those of the point.
pub(super) fn encode(form: Form) -> String {
    let n = form.limbs();
    format!(
        "
@compute @workgroup_size(THREADS)
fn ristretto_encode(@builtin(global_invocation_id) id: vec3<u32>) {{
    if id.x >= batch.count {{ return; }}
    let task = batch.tasks + task_of(id.x) * 3u;
    for (var i = 0u; i < 2u; i++) {{
        let at = input[task + i];
        let p = fetch_arena(at);
        let m = fetch_arena(at + {n}u);
        let z = fetch_arena(at + {n2}u);
        let t = mul(fetch_arena(at + {n3}u), d_inverse());
        var x = settle(minus(p, m));
        var y = settle(plus(p, m));
        let u1 = mul(minus(z, y), settle(plus(z, y)));
        let u2 = mul(x, y);
        let root = sqrt_ratio(one(), mul(u1, sqr(u2)));
        let den1 = mul(root.r, u1);
        var den_inv = mul(root.r, u2);
        let z_inv = mul(mul(den1, den_inv), t);
        if is_negative(mul(t, z_inv)) {{
            let kept = mul(y, sqrt_m1());
            y = mul(x, sqrt_m1());
            x = kept;
            den_inv = mul(den1, invsqrt_a_minus_d());
        }}
        if is_negative(mul(x, z_inv)) {{ y = negate(y); }}
        var s = mul(minus(z, y), den_inv);
        if is_negative(s) {{ s = negate(s); }}
        let encoded = words(canonical(s));
        let to = input[task + 2u] + 8u * i;
        for (var k = 0u; k < 8u; k++) {{ arena[to + k] = encoded[k]; }}
    }}
}}
",
        n2 = 2 * n,
        n3 = 3 * n,
    )
}
