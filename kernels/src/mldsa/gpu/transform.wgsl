// Unpacks and checks z, takes c, unpacks t1·2^d; the NTT of each. One polynomial a workgroup, four passes of two
// layers, a barrier between passes.
var<workgroup> w: array<u32, 256>;
var<workgroup> beyond: atomic<u32>;

fn lane_of(local: u32) -> u32 {
    return select(local, LANES - 1u - local, REVERSE);
}

// A pass of two layers of the NTT (FIPS 204, Algorithm 41) over distances 2s and s. Butterfly `t` of 64 owns four
// coefficients. Each layer adds less than 2q to a bound: q before the first, 17q after the eighth.
fn forward_pass(t: u32, s: u32) {
    let block = t / s;
    let i = block * 4u * s + t % s;
    let a = w[i];
    let b = w[i + s];
    let c = mul_by_constant(w[i + 2u * s], constants[64u / s + block]);
    let d = mul_by_constant(w[i + 3u * s], constants[64u / s + block]);
    let z0 = constants[128u / s + 2u * block];
    let z1 = constants[128u / s + 2u * block + 1u];
    let e = a + c;
    let f = mul_by_constant(b + d, z0);
    let g = a + 2u * Q - c;
    let h = mul_by_constant(b + 2u * Q - d, z1);
    w[i] = e + f;
    w[i + s] = e + 2u * Q - f;
    w[i + 2u * s] = g + h;
    w[i + 3u * s] = g + 2u * Q - h;
}

@compute @workgroup_size(LANES)
fn transform(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let lane = lane_of(local);
    let per_job = batch.l + 1u + batch.k;
    let local_job = group.x / per_job;
    let poly = group.x % per_job;
    let job = batch.first_job + local_job;
    let base = transformed_of(local_job, poly);
    if lane == 0u {
        atomicStore(&beyond, 0u);
    }
    workgroupBarrier();

    let width = batch.gamma1_bits + 1u;
    let gamma1 = 1u << batch.gamma1_bits;
    for (var n = lane; n < N; n += LANES) {
        var value = 0u;
        if poly < batch.l {
            // BitUnpack: z = gamma1 - bits, in [-gamma1 + 1, gamma1].
            let z = signature_of(job) + batch.challenge_words + poly * width * 8u;
            let bits = input_bits(z, n * width, width);
            let negative = bits > gamma1;
            let size = select(gamma1 - bits, bits - gamma1, negative);
            if size >= gamma1 - batch.beta {
                atomicStore(&beyond, 1u);
            }
            value = select(size, Q - size, negative);
        } else if poly == batch.l {
            value = transformed[base + n];
        } else {
            let t1 = key_of(job) + 8u + (poly - batch.l - 1u) * 80u;
            value = input_bits(t1, n * 10u, 10u) << 13u;
        }
        w[n] = value;
    }
    workgroupBarrier();

    for (var s = 64u; s > 0u; s = s / 4u) {
        for (var t = lane; t < 64u; t += LANES) {
            forward_pass(t, s);
        }
        workgroupBarrier();
    }

    for (var n = lane; n < N; n += LANES) {
        transformed[base + n] = reduce(w[n]);
    }
    if lane == 0u {
        let refused = atomicLoad(&beyond) != 0u;
        notes[status_of(job) + STATUS_POLYS + poly] = select(DONE, REFUSED, refused);
    }
}
