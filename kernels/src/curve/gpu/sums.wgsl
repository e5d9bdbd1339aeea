// Sums of multiples of points of y^2 = x^3 + b, one sum a thread; the field's functions stand before this text.
//
// POINTS, FIXED, TABLE_STEPS, WINDOW_STEPS, STEPS, ENTRIES and the chains' lengths are constants that Rust writes.
//
// Bounds are multiples of p and hold where R is 16 p. Coordinates of a sum: x and y settled and below 2 p, z below 4 p. Products of
// factors a p and b p are below (a b / 16 + 1) p.

struct Batch {
    // Sums; the words where digits, flags and factors of fixed points start, and marks among the results.
    count: u32, digits: u32, flags: u32, fixed: u32,
    // Threads that share an inversion each, whether the first thread takes the last sum, what marks of this batch start with.
    marks: u32, threads: u32, reverse: u32, epoch: u32,
}
@group(0) @binding(0) var<uniform> batch: Batch;
@group(0) @binding(1) var<storage, read> constants: array<u32>;
@group(0) @binding(2) var<storage, read> states: array<u32>;
@group(0) @binding(3) var<storage, read_write> results: array<u32>;
// Entries of eight words of four: two coordinates, a third value, a flag.
@group(0) @binding(4) var<storage, read_write> entries: array<vec4<u32>>;
// Multiples of the fixed points, five words of four each.
@group(0) @binding(5) var<storage, read> multiples: array<vec4<u32>>;
override THREADS: u32 = 64u;

// What is known of an entry, behind the number of its batch; and of a result.
const POINT: u32 = 1u;
const IDENTITY: u32 = 2u;
const NO_POINT: u32 = 3u;

fn mark(state: u32) -> u32 { return (batch.epoch << 2u) | state; }

struct Affine { x: F, y: F }
struct Jacobian { x: F, y: F, z: F }

fn read_point(at: u32) -> Affine {
    let e = at * 8u;
    return unpack(entries[e], entries[e + 1u], entries[e + 2u], entries[e + 3u], entries[e + 4u]);
}
fn read_fixed(at: u32) -> Affine {
    let e = at * 5u;
    return unpack(multiples[e], multiples[e + 1u], multiples[e + 2u], multiples[e + 3u], multiples[e + 4u]);
}
fn read_third(at: u32) -> F {
    let e = at * 8u + 5u;
    return unpack(entries[e], entries[e + 1u], entries[e + 2u], vec4<u32>(), vec4<u32>()).x;
}
fn write_point(at: u32, p: Affine) {
    let packed = pack(p);
    entries[at * 8u] = packed.a;
    entries[at * 8u + 1u] = packed.b;
    entries[at * 8u + 2u] = packed.c;
    entries[at * 8u + 3u] = packed.d;
    entries[at * 8u + 4u] = packed.e;
}
// The third value of an entry, and its flag.
fn write_third(at: u32, value: F, flag: u32) {
    let packed = pack(Affine(value, zero()));
    entries[at * 8u + 5u] = packed.a;
    entries[at * 8u + 6u] = packed.b;
    entries[at * 8u + 7u] = vec4<u32>(packed.c.x, packed.c.y, 0u, flag);
}

// The power of x that a chain of constants names: so many squarings, then a product by one of the values kept.
fn power(x: F, start: u32, steps: u32) -> F {
    var a = x;
    var k2 = x; var k3 = x; var k4 = x; var k5 = x;
    for (var step = 0u; step < steps; step++) {
        let code = constants[start + step];
        var f = a;
        for (var i = code & 255u; i > 0u; i--) { a = sqr(a); }
        let by = (code >> 8u) & 15u;
        if by == 1u { f = x; }
        if by == 2u { f = k2; }
        if by == 3u { f = k3; }
        if by == 4u { f = k4; }
        if by == 5u { f = k5; }
        if by != 15u { a = mul(a, f); }
        let keep = code >> 12u;
        if keep == 2u { k2 = a; }
        if keep == 3u { k3 = a; }
        if keep == 4u { k4 = a; }
        if keep == 5u { k5 = a; }
    }
    return a;
}

fn is_zero(a: F) -> bool { return is_multiple(shrink(a)); }

fn double(p: Jacobian) -> Jacobian {
    let b = sqr(p.y);
    let a = sqr(p.x);
    // D = 4 X Y^2, E = 3 X^2, X' = E^2 - 2 D, Y' = E (D - X') - 8 Y^4, Z' = 2 Y Z.
    let d = mul(p.x, b);
    let d2 = add(d, d);
    let d4 = settle(add(d2, d2));
    let e = settle(add(add(a, a), a));
    let x = shrink(sub10(sqr(e), settle(add(d4, d4))));
    let c = sqr(b);
    let c2 = add(c, c);
    let c4 = settle(add(c2, c2));
    let y = shrink(sub10(mul(e, sub4(d4, x)), settle(add(c4, c4))));
    let z = mul(p.y, p.z);
    return Jacobian(x, y, settle(add(z, z)));
}

// Brings the multiples of the points of a sum to one Z and returns it.
fn unify(home: u32) -> F {
    for (var k = 0u; k < POINTS; k++) {
        // What Z of an entry lacks of the common one.
        var r = one();
        if POINTS == 2u { r = read_third(home + (1u - k) * 8u); }
        for (var i = 8u; i > 0u; i--) {
            let at = home + k * 8u + i - 1u;
            let p = read_point(at);
            let rr = sqr(r);
            write_point(at, Affine(mul(p.x, rr), mul(p.y, mul(rr, r))));
            r = mul(r, read_third(at));
        }
    }
    var z = one();
    for (var k = 0u; k < POINTS; k++) { z = mul(z, read_third(home + k * 8u)); }
    return z;
}

// Tables of the points (1 to 8 times), four bits of all factors after four bits, then the fixed points byte by byte: one loop, because
// drivers inline every product.
@compute @workgroup_size(THREADS)
fn multiply(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= batch.count { return; }
    let item = select(id.x, batch.count - 1u - id.x, batch.reverse != 0u);
    let home = item * ENTRIES;
    let end = home + POINTS * 8u;
    var state = POINT;
    for (var k = 0u; k < POINTS; k++) {
        let found = entries[(home + k * 8u) * 8u + 7u].w;
        if found == mark(NO_POINT) && state == POINT { state = NO_POINT; }
        if found != mark(NO_POINT) && found != mark(POINT) { state = 0u; }
    }
    var acc = Jacobian(zero(), zero(), one());
    var identity = true;
    for (var step = 0u; step < STEPS; step++) {
        var p = Affine(zero(), zero());
        var doubling = false;
        var skip = false;
        var ratio = zero();
        if step < TABLE_STEPS {
            p = read_point(home + (step / 7u) * 8u);
            if step % 7u == 0u {
                acc = Jacobian(p.x, p.y, one());
                identity = false;
                doubling = true;
            }
        } else if step < TABLE_STEPS + WINDOW_STEPS {
            let at = step - TABLE_STEPS;
            let part = at % (4u + 2u * POINTS);
            if at == 0u {
                let z = unify(home);
                write_third(end, z, 0u);
                identity = true;
            }
            doubling = part < 4u;
            if !doubling {
                let window = 32u - at / (4u + 2u * POINTS);
                let half = part - 4u;
                let digits = batch.digits + (item * POINTS * 2u + half) * 5u;
                // Digits are from -8 to 7, with 8 added.
                let digit = (states[digits + (window >> 3u)] >> ((window & 7u) * 4u)) & 15u;
                let below = digit < 8u;
                let size = select(digit - 8u, 8u - digit, below);
                skip = size == 0u;
                p = read_point(home + (half >> 1u) * 8u + max(size, 1u) - 1u);
                if (half & 1u) == 1u { p.x = mul(p.x, endomorphism()); }
                if below != ((states[digits + 4u] >> 31u) == 1u) { p.y = sub4(zero(), p.y); }
            }
        } else {
            let at = step - TABLE_STEPS - WINDOW_STEPS;
            if POINTS > 0u && at == 0u { acc.z = mul(acc.z, read_third(end)); }
            let digit = (states[batch.fixed + item * FIXED * 8u + (at >> 2u)] >> ((at & 3u) * 8u)) & 255u;
            p = read_fixed(at * 255u + max(digit, 1u) - 1u);
            // A fixed point that is the identity has a table of zeros, and no point of the curve has y = 0.
            skip = digit == 0u || is_multiple(p.y);
        }
        if !doubling && !skip {
            if identity {
                acc = Jacobian(p.x, shrink(p.y), one());
                identity = false;
            } else {
                let zz = sqr(acc.z);
                let h = shrink(sub4(mul(p.x, zz), acc.x));
                let r = sub4(mul(p.y, mul(zz, acc.z)), acc.y);
                let same_x = is_multiple(h);
                let same_y = is_zero(r);
                let hh = sqr(h);
                let hhh = mul(hh, h);
                let v = mul(acc.x, hh);
                let x = shrink(sub4(sqr(r), settle(add(add(v, v), hhh))));
                let y = shrink(sub4(mul(r, sub4(v, x)), mul(acc.y, hhh)));
                let z = mul(acc.z, h);
                // Equal points are doubled, opposite ones leave the identity.
                doubling = same_x && same_y;
                identity = same_x && !same_y;
                if !same_x { acc = Jacobian(x, y, z); }
                ratio = h;
            }
        }
        if doubling {
            acc = double(acc);
            ratio = acc.z;
        }
        if step < TABLE_STEPS {
            let k = home + (step / 7u) * 8u;
            let at = k + 1u + step % 7u;
            write_point(at, Affine(acc.x, acc.y));
            write_third(at, ratio, 0u);
            if step % 7u == 6u { write_third(k, acc.z, 0u); }
        }
    }
    if POINTS > 0u && FIXED == 0u { acc.z = mul(acc.z, read_third(end)); }
    if identity && state == POINT { state = IDENTITY; }
    write_point(end, Affine(acc.x, acc.y));
    write_third(end, acc.z, mark(state));
}

// Sums back to affine coordinates: a thread takes every so manieth, with one inversion for all of them.
@compute @workgroup_size(THREADS)
fn normalize(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= batch.threads { return; }
    var product = one();
    for (var item = id.x; item < batch.count; item += batch.threads) {
        let end = item * ENTRIES + POINTS * 8u;
        // Products before each stand where the sum's first table was, or beside it.
        let z = read_third(end);
        write_third(item * ENTRIES + SPARE, product, 0u);
        if is_point(end) { product = mul(product, z); }
    }
    var rest = power(product, INVERSE_START, INVERSE_STEPS);
    // The last first; the remainder of the count is what the last round lacks.
    let rounds = (batch.count - id.x + batch.threads - 1u) / batch.threads;
    for (var round = rounds; round > 0u; round--) {
        let item = id.x + (round - 1u) * batch.threads;
        let end = item * ENTRIES + POINTS * 8u;
        let p = read_point(end);
        let flag = entries[end * 8u + 7u].w;
        var state = 0u;
        if flag == mark(IDENTITY) { state = IDENTITY; }
        if flag == mark(NO_POINT) { state = NO_POINT; }
        if is_point(end) {
            let z = read_third(end);
            let inverse = mul(rest, read_third(item * ENTRIES + SPARE));
            rest = mul(rest, z);
            let square = sqr(inverse);
            store(item * 16u, mul(p.x, square));
            store(item * 16u + 8u, mul(p.y, mul(square, inverse)));
            state = POINT;
        }
        results[batch.marks + item] = DONE | state;
    }
}

// Whether a sum is a point with a Z that has an inverse.
fn is_point(end: u32) -> bool {
    return entries[end * 8u + 7u].w == mark(POINT) && !is_zero(read_third(end));
}
