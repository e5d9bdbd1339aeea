// One row of w' = NTT^-1(A∘z - c∘t1·2^d), UseHint and w1Encode (FIPS 204, Algorithm 8, lines 9 and 10; Algorithms 28,
// 40 and 42). One row a workgroup.
var<workgroup> hint_bits: array<atomic<u32>, 8>;

// A pass of two layers of the inverse NTT over distances s and 2s, the forward pass undone. `bound` is that of the
// input, q·2^(layers done); sums double it, products are below 2q: 256q < 2^32 after the eighth layer.
fn inverse_pass(t: u32, s: u32, bound: u32) {
    let block = t / s;
    let i = block * 4u * s + t % s;
    let a = w[i];
    let b = w[i + s];
    let c = w[i + 2u * s];
    let d = w[i + 3u * s];
    let z0 = constants[256u / s - 1u - 2u * block];
    let z1 = constants[256u / s - 2u - 2u * block];
    let z2 = constants[128u / s - 1u - block];
    let e = a + b;
    let f = mul_by_constant(b + bound - a, z0);
    let g = c + d;
    let h = mul_by_constant(d + bound - c, z1);
    w[i] = e + g;
    w[i + s] = f + h;
    w[i + 2u * s] = mul_by_constant(g + 2u * bound - e, z2);
    w[i + 3u * s] = mul_by_constant(h + 2u * bound - f, z2);
}

@compute @workgroup_size(LANES)
fn rows(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let lane = lane_of(local);
    let local_job = group.x / batch.k;
    let row = group.x % batch.k;
    let job = batch.first_job + local_job;
    let a = batch.matrix_base + group.x * batch.l * N;
    let z = transformed_of(local_job, 0u);
    let c = transformed_of(local_job, batch.l);
    let t1 = transformed_of(local_job, batch.l + 1u + row);
    for (var i = lane; i < 8u; i += LANES) {
        atomicStore(&hint_bits[i], 0u);
    }
    // Each product is below 2q and there are at most eight: 16q, and q is taken off once in reduce.
    for (var n = lane; n < N; n += LANES) {
        var sum = 2u * Q - mul_montgomery(transformed[c + n], transformed[t1 + n]);
        for (var j = 0u; j < batch.l; j++) {
            sum += mul_montgomery(matrix[a + j * N + n], transformed[z + j * N + n]);
        }
        w[n] = reduce(sum);
    }
    workgroupBarrier();

    // The ones of this row. The encoding is checked elsewhere; here no count leads past the positions.
    let hint = signature_of(job) + batch.challenge_words + batch.l * (batch.gamma1_bits + 1u) * 8u;
    var start = 0u;
    if row > 0u {
        start = input_byte(hint, batch.omega + row - 1u);
    }
    let end = min(input_byte(hint, batch.omega + row), batch.omega);
    for (var i = start + lane; i < end; i += LANES) {
        let position = input_byte(hint, i);
        atomicOr(&hint_bits[position >> 5u], 1u << (position & 31u));
    }

    var bound = Q;
    for (var s = 1u; s < N; s = s * 4u) {
        for (var t = lane; t < 64u; t += LANES) {
            inverse_pass(t, s, bound);
        }
        bound = bound * 4u;
        workgroupBarrier();
    }

    let alpha = 2u * batch.gamma2;
    let high_values = (Q - 1u) / alpha;
    for (var n = lane; n < N; n += LANES) {
        // 2^32/256 undoes the transform's scale and the Montgomery product's.
        var r = mul_by_constant(w[n], constants[INVERSE_FACTOR]);
        r = select(r, r - Q, r >= Q);
        // r0 = r - r1·alpha lies in (-gamma2, gamma2]; the top half interval belongs to 0, where r0 is not positive.
        var r1 = (r + batch.gamma2 - 1u) / alpha;
        var positive = r > r1 * alpha;
        if r1 == high_values {
            r1 = 0u;
            positive = false;
        }
        if ((atomicLoad(&hint_bits[n >> 5u]) >> (n & 31u)) & 1u) == 1u {
            let up = select(r1 + 1u, 0u, r1 + 1u == high_values);
            let down = select(r1 - 1u, high_values - 1u, r1 == 0u);
            r1 = select(down, up, positive);
        }
        w[n] = r1;
    }
    workgroupBarrier();

    let bits = batch.w1_bits;
    let row_words = bits * 8u;
    let out = final_of(job) + 16u + row * row_words;
    for (var i = lane; i < row_words; i += LANES) {
        let from_bit = i * 32u;
        var word = 0u;
        for (var n = from_bit / bits; n * bits < from_bit + 32u; n++) {
            let at = n * bits;
            if at < from_bit {
                word |= w[n] >> (from_bit - at);
            } else {
                word |= w[n] << (at - from_bit);
            }
        }
        notes[out + i] = word;
    }

    if lane == 0u {
        // A row counts only if all that it was made from does; a z past its bound is made, and refused elsewhere.
        let status = status_of(job);
        var complete = notes[status + STATUS_POLYS + batch.l] == DONE
            && notes[status + STATUS_POLYS + batch.l + 1u + row] == DONE;
        for (var j = 0u; j < batch.l; j++) {
            complete = complete && notes[status + STATUS_STREAMS + row * batch.l + j] == DONE;
        }
        if complete {
            notes[status + STATUS_ROWS + row] = DONE;
        }
    }
}
