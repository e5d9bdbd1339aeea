// ExpandA (FIPS 204, Algorithms 30 and 32): one entry of the matrix a thread. SHAKE128 of rho || column || row, three
// bytes a candidate, those below q kept. An entry needs five blocks, rarely six; one that has not ended after
// REJECTION_BLOCKS leaves its status open, and the job is undecided.
fn keep(candidate: u32, base: u32, count: ptr<function, u32>) {
    let value = candidate & 0x7fffffu;
    if value < Q && *count < N {
        matrix[base + *count] = value;
        *count += 1u;
    }
}

fn keep_four(w0: u32, w1: u32, w2: u32, base: u32, count: ptr<function, u32>) {
    keep(w0, base, count);
    keep((w0 >> 24u) | (w1 << 8u), base, count);
    keep((w1 >> 16u) | (w2 << 16u), base, count);
    keep(w2 >> 8u, base, count);
}

@compute @workgroup_size(HASH_THREADS)
fn expand(@builtin(global_invocation_id) id: vec3<u32>) {
    let streams = batch.k * batch.l;
    if id.x >= batch.jobs * streams {
        return;
    }
    let job = batch.first_job + id.x / streams;
    let entry = id.x % streams;
    let row = entry / batch.l;
    let column = entry % batch.l;

    var s = State();
    absorb_rho(&s, key_of(job));
    s.a4 = vec2<u32>(column | (row << 8u) | 0x1f0000u, 0u);
    s.a20 = vec2<u32>(0u, 0x80000000u);
    let base = batch.matrix_base + id.x * N;
    var count = 0u;
    for (var block = 0u; block < REJECTION_BLOCKS && count < N; block++) {
        permute(&s);
        keep_block(&s, base, &count);
    }
    if count == N {
        notes[status_of(job) + STATUS_STREAMS + entry] = DONE;
    }
}
