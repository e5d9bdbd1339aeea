// Unpacks and checks z, takes c; the NTT of each. One polynomial for every 32 threads of a workgroup.
var<workgroup> w: array<u32, LANES / 32u * TEAM_WORDS>;
var<workgroup> beyond: array<atomic<u32>, LANES / 32u>;

// BitUnpack: z = gamma1 - bits, in [-gamma1 + 1, gamma1]. Raises `largest` to its size.
fn z_coefficient(z: u32, n: u32, largest: ptr<function, u32>) -> u32 {
    let width = batch.gamma1_bits + 1u;
    let gamma1 = 1u << batch.gamma1_bits;
    let bits = input_bits(z, n * width, width);
    let size = select(gamma1 - bits, bits - gamma1, bits > gamma1);
    *largest = max(*largest, size);
    return select(size, Q - size, bits > gamma1);
}

fn c_coefficient(c: u32, n: u32) -> u32 {
    let word = c + (n >> 5u);
    let one = (notes[word] >> (n & 31u)) & 1u;
    let sign = (notes[word + 8u] >> (n & 31u)) & 1u;
    return select(one, Q - 1u, sign == 1u);
}

// The first three layers of a polynomial that 32 threads share, each with coefficients t + 32 n; then a barrier.
fn w_forward_first(memory: u32, t: u32, v: ptr<function, Octet>) {
    forward_8(v, 1u);
    w_put_far(memory, t, *v);
    workgroupBarrier();
}

// The other five layers, with barriers. Once more through workgroup memory at the end, so that each thread has
// coefficients t + 32 n again and neighbours write neighbouring words.
fn w_forward_rest(memory: u32, t: u32, v: ptr<function, Octet>) {
    *v = w_get_middle(memory, t);
    forward_8(v, 8u + (t >> 2u));
    w_put_middle(memory, t, *v);
    workgroupBarrier();
    *v = w_get_near(memory, t);
    forward_4(v, 64u + 2u * t);
    w_put_near(memory, t, *v);
    workgroupBarrier();
    *v = w_get_far(memory, t);
}

@compute @workgroup_size(LANES)
fn transform(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let lane = lane_of(local, LANES);
    let team = lane / 32u;
    let t = lane % 32u;
    let memory = team * TEAM_WORDS;
    let total = batch.jobs * (batch.l + 1u);
    // Threads past the end do the last polynomial again and keep nothing of it.
    let wanted = group.x * (LANES / 32u) + team;
    let index = min(wanted, total - 1u);
    let local_job = index / (batch.l + 1u);
    let poly = index % (batch.l + 1u);
    let job = batch.first_job + local_job;

    var v = Octet();
    var largest = 0u;
    if poly < batch.l {
        let z = signature_of(job) + batch.challenge_words + poly * (batch.gamma1_bits + 1u) * 8u;
        //EACH v.c# = z_coefficient(z, t + #u * 32u, &largest);
    } else {
        let c = final_of(job) + SCRATCH_CHALLENGE;
        //EACH v.c# = c_coefficient(c, t + #u * 32u);
    }
    if t == 0u {
        atomicStore(&beyond[team], 0u);
    }
    w_forward_first(memory, t, &v);
    if largest >= (1u << batch.gamma1_bits) - batch.beta {
        atomicStore(&beyond[team], 1u);
    }
    w_forward_rest(memory, t, &v);
    if wanted < total {
        let base = transformed_of(local_job, poly) + t;
        //EACH transformed[base + #u * 32u] = reduce(v.c#);
        if t == 0u {
            let refused = atomicLoad(&beyond[team]) != 0u;
            notes[status_of(job) + STATUS_POLYS + poly] = select(DONE, REFUSED, refused);
        }
    }
}
