// Rows of w' = NTT^-1(A∘z - c∘t1·2^d), UseHint and w1Encode (FIPS 204, Algorithm 8, lines 9 and 10; Algorithms 28, 40
// and 42). A workgroup takes HASH_THREADS / l rows: one thread for each entry of A in them while they are sampled, and
// 32 threads for each row in turn while they are transformed. A itself is nowhere: each coefficient is multiplied when
// it is drawn, and the product is added to its place in the row.
//
// Row `p` of a workgroup lies at p·ROW_WORDS of `rows_memory`. There are at most HASH_THREADS / 4, as l is at least 4.
var<workgroup> rows_memory: array<atomic<u32>, HASH_THREADS / 4u * ROW_WORDS>;
var<workgroup> hint_bits: array<atomic<u32>, HASH_THREADS / 4u * 8u>;
var<workgroup> entries_done: array<atomic<u32>, HASH_THREADS / 4u>;

struct Row {
    live: bool,     // false past the last row, which is then done again for nothing
    local_job: u32,
    job: u32,
    row: u32,
}

fn row_of(group: u32, p: u32) -> Row {
    let per_group = HASH_THREADS / batch.l;
    let total = batch.jobs * batch.k;
    let wanted = group * per_group + p;
    let index = min(wanted, total - 1u);
    let local_job = index / batch.k;
    return Row(p < per_group && wanted < total, local_job, batch.first_job + local_job, index % batch.k);
}

// How often 32 threads take a row until all rows of the workgroup are done. The same for every thread.
fn rounds() -> u32 {
    let teams = HASH_THREADS / 32u;
    return (HASH_THREADS / batch.l + teams - 1u) / teams;
}

// The ones of a row's hint. The encoding is checked elsewhere; here no count leads past the positions.
fn set_hint_bits(job: u32, row: u32, p: u32, t: u32) {
    let hint = hint_of(job);
    var start = 0u;
    if row > 0u {
        start = input_byte(hint, batch.omega + row - 1u);
    }
    let end = min(input_byte(hint, batch.omega + row), batch.omega);
    for (var i = start + t; i < end; i += 32u) {
        let position = input_byte(hint, i);
        atomicOr(&hint_bits[p * 8u + (position >> 5u)], 1u << (position & 31u));
    }
}

// The coefficient of w1 for a value of w' below 512q that is 256 times too large.
fn use_hint(value: u32, p: u32, n: u32) -> u32 {
    let alpha = 2u * batch.gamma2;
    let high_values = (Q - 1u) / alpha;
    let r = reduce(mul_by_constant(value, constants[INVERSE_FACTOR]));
    // r0 = r - r1·alpha lies in (-gamma2, gamma2]; the top half interval belongs to 0, where r0 is not positive.
    var r1 = (r + batch.gamma2 - 1u) / alpha;
    var positive = r > r1 * alpha;
    if r1 == high_values {
        r1 = 0u;
        positive = false;
    }
    if ((atomicLoad(&hint_bits[p * 8u + (n >> 5u)]) >> (n & 31u)) & 1u) == 1u {
        let up = select(r1 + 1u, 0u, r1 + 1u == high_values);
        let down = select(r1 - 1u, high_values - 1u, r1 == 0u);
        r1 = select(down, up, positive);
    }
    return r1;
}

// From sums below 2^32 in the rows' memory, past a barrier, to packed w1 in the scratch of the jobs.
fn finish_rows(group: u32, team: u32, t: u32) {
    let rounds = rounds();
    for (var i = 0u; i < rounds; i++) {
        let memory = (i * (HASH_THREADS / 32u) + team) * ROW_WORDS;
        var v = rows_get_near(memory, t);
        //EACH v.c# = reduce(v.c#);
        inverse_4(&v, 127u - 2u * t, 2u * Q);
        rows_put_near(memory, t, v);
    }
    workgroupBarrier();
    for (var i = 0u; i < rounds; i++) {
        let memory = (i * (HASH_THREADS / 32u) + team) * ROW_WORDS;
        var v = rows_get_middle(memory, t);
        inverse_8(&v, 15u - (t >> 2u), 8u * Q);
        rows_put_middle(memory, t, v);
    }
    workgroupBarrier();
    for (var i = 0u; i < rounds; i++) {
        let p = i * (HASH_THREADS / 32u) + team;
        var v = rows_get_far(p * ROW_WORDS, t);
        inverse_8(&v, 1u, 64u * Q);
        //EACH v.c# = use_hint(v.c#, p, t + #u * 32u);
        rows_put_far(p * ROW_WORDS, t, v);
    }
    workgroupBarrier();
    let bits = batch.w1_bits;
    let row_words = bits * 8u;
    for (var i = 0u; i < rounds; i++) {
        let p = i * (HASH_THREADS / 32u) + team;
        let row = row_of(group, p);
        if row.live {
            let out = final_of(row.job) + 16u + row.row * row_words;
            for (var at = t; at < row_words; at += 32u) {
                let from_bit = at * 32u;
                var word = 0u;
                for (var n = from_bit / bits; n * bits < from_bit + 32u; n++) {
                    let value = atomicLoad(&rows_memory[p * ROW_WORDS + n + (n >> 3u)]);
                    let bit = n * bits;
                    if bit < from_bit {
                        word |= value >> (from_bit - bit);
                    } else {
                        word |= value << (bit - from_bit);
                    }
                }
                notes[out + at] = word;
            }
        }
    }
}

// Whether c was transformed, which every row is made from. Of z the last stage asks.
fn challenge_complete(job: u32) -> bool {
    return notes[status_of(job) + STATUS_POLYS + batch.l] == DONE;
}

fn keep(candidate: u32, memory: u32, z: u32, count: ptr<function, u32>) {
    let value = candidate & 0x7fffffu;
    let n = *count;
    if value < Q && n < N {
        atomicAdd(&rows_memory[memory + n + (n >> 3u)], mul_lazy(value, transformed[z + n]));
        *count = n + 1u;
    }
}

fn keep_four(w0: u32, w1: u32, w2: u32, memory: u32, z: u32, count: ptr<function, u32>) {
    keep(w0, memory, z, count);
    keep((w0 >> 24u) | (w1 << 8u), memory, z, count);
    keep((w1 >> 16u) | (w2 << 16u), memory, z, count);
    keep(w2 >> 8u, memory, z, count);
}

@compute @workgroup_size(HASH_THREADS)
fn rows(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let lane = lane_of(local, HASH_THREADS);
    let team = lane / 32u;
    let t = lane % 32u;

    // NTT(t1·2^d) of every row, then -c∘t1·2^d.
    for (var i = 0u; i < rounds(); i++) {
        let p = i * (HASH_THREADS / 32u) + team;
        let row = row_of(group.x, p);
        let key = key_of(row.job);
        var v = Octet();
        //EACH v.c# = t1_shifted(key, row.row, t + #u * 32u);
        forward_8(&v, 1u);
        rows_put_far(p * ROW_WORDS, t, v);
        if t < 8u {
            atomicStore(&hint_bits[p * 8u + t], 0u);
        }
        if t == 8u {
            atomicStore(&entries_done[p], 0u);
        }
    }
    workgroupBarrier();
    for (var i = 0u; i < rounds(); i++) {
        let p = i * (HASH_THREADS / 32u) + team;
        var v = rows_get_middle(p * ROW_WORDS, t);
        forward_8(&v, 8u + (t >> 2u));
        rows_put_middle(p * ROW_WORDS, t, v);
        let row = row_of(group.x, p);
        if row.live {
            set_hint_bits(row.job, row.row, p, t);
        }
    }
    workgroupBarrier();
    for (var i = 0u; i < rounds(); i++) {
        let p = i * (HASH_THREADS / 32u) + team;
        let row = row_of(group.x, p);
        var v = rows_get_near(p * ROW_WORDS, t);
        forward_4(&v, 64u + 2u * t);
        let c = transformed_of(row.local_job, batch.l) + 8u * t;
        //EACH v.c# = 26u * Q - mul_lazy(reduce(v.c#), transformed[c + #u]);
        rows_put_near(p * ROW_WORDS, t, v);
    }
    workgroupBarrier();

    // ExpandA (FIPS 204, Algorithms 30 and 32): SHAKE128 of rho || column || row, three bytes a candidate, those below q
    // kept. An entry needs five blocks, rarely six; one that has not ended after REJECTION_BLOCKS is not counted, and
    // the job is undecided. With at most seven products below 26q a sum stays below 208q.
    let p = lane / batch.l;
    let column = lane % batch.l;
    let mine = row_of(group.x, p);
    if mine.live {
        var s = State();
        absorb_rho(&s, key_of(mine.job));
        s.a4 = vec2<u32>(column | (mine.row << 8u) | 0x1f0000u, 0u);
        s.a20 = vec2<u32>(0u, 0x80000000u);
        let z = transformed_of(mine.local_job, column);
        var count = 0u;
        for (var block = 0u; block < REJECTION_BLOCKS && count < N; block++) {
            permute(&s);
            keep_block(&s, p * ROW_WORDS, z, &count);
        }
        if count == N {
            atomicAdd(&entries_done[p], 1u);
        }
    }
    workgroupBarrier();

    finish_rows(group.x, team, t);
    if mine.live && column == 0u && atomicLoad(&entries_done[p]) == batch.l && challenge_complete(mine.job) {
        notes[status_of(mine.job) + STATUS_ROWS + mine.row] = DONE;
    }
}
