// Keys that stay on the device. `prepare` and `prepare_t1` fill slots; `rows_resident` is `rows` for jobs whose key has
// one. A part of a slot counts only under the mark of its generation, so what an earlier key left there never does.

fn store_entry(candidate: u32, base: u32, count: ptr<function, u32>) {
    let value = candidate & 0x7fffffu;
    if value < Q && *count < N {
        resident[base + *count] = value;
        *count += 1u;
    }
}

fn store_four(w0: u32, w1: u32, w2: u32, base: u32, count: ptr<function, u32>) {
    store_entry(w0, base, count);
    store_entry((w0 >> 24u) | (w1 << 8u), base, count);
    store_entry((w1 >> 16u) | (w2 << 16u), base, count);
    store_entry(w2 >> 8u, base, count);
}

// k·l + 1 threads a key: an entry of A-hat each, and tr.
@compute @workgroup_size(HASH_THREADS)
fn prepare(@builtin(global_invocation_id) id: vec3<u32>) {
    let entries = batch.k * batch.l;
    let per_key = entries + 1u;
    if id.x >= batch.jobs * per_key {
        return;
    }
    let job = batch.first_job + id.x / per_key;
    let part = id.x % per_key;
    let key = key_of(job);
    let slot = jobs[job].slot;
    var s = State();
    let is_tr = part == entries;
    if !is_tr {
        absorb_rho(&s, key);
        s.a4 = vec2<u32>((part % batch.l) | ((part / batch.l) << 8u) | 0x1f0000u, 0u);
        s.a20 = vec2<u32>(0u, 0x80000000u);
    }
    let base = slot + part * N;
    var count = 0u;
    // One loop for both, so that the permutation is written out once.
    let blocks = select(REJECTION_BLOCKS, batch.key_blocks, is_tr);
    for (var block = 0u; block < blocks && count < N; block++) {
        if is_tr {
            absorb_input(&s, key + block * 34u);
        }
        permute(&s);
        if !is_tr {
            store_block(&s, base, &count);
        }
    }
    if is_tr {
        store_tr(&s, slot_t1(slot, batch.k));
        resident[slot_mark(slot, entries + batch.k)] = jobs[job].generation;
    } else if count == N {
        resident[slot_mark(slot, part)] = jobs[job].generation;
    }
}

// NTT(t1·2^d): one row for every 32 threads of a workgroup.
@compute @workgroup_size(LANES)
fn prepare_t1(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let lane = lane_of(local, LANES);
    let team = lane / 32u;
    let t = lane % 32u;
    let memory = team * TEAM_WORDS;
    let total = batch.jobs * batch.k;
    let wanted = group.x * (LANES / 32u) + team;
    let index = min(wanted, total - 1u);
    let job = batch.first_job + index / batch.k;
    let row = index % batch.k;
    let key = key_of(job);

    var v = Octet();
    //EACH v.c# = t1_shifted(key, row, t + #u * 32u);
    w_forward_first(memory, t, &v);
    w_forward_rest(memory, t, &v);
    if wanted < total {
        let slot = jobs[job].slot;
        let base = slot_t1(slot, row) + t;
        //EACH resident[base + #u * 32u] = reduce(v.c#);
        if t == 0u {
            resident[slot_mark(slot, batch.k * batch.l + row)] = jobs[job].generation;
        }
    }
}

// A∘z - c∘t1·2^d at coefficient n, below 208q.
fn row_sum(slot: u32, row: u32, z: u32, n: u32) -> u32 {
    let c = z + batch.l * N;
    var sum = 26u * Q - mul_lazy(resident[slot_t1(slot, row) + n], transformed[c + n]);
    let a = slot + row * batch.l * N + n;
    for (var j = 0u; j < batch.l; j++) {
        sum += mul_lazy(resident[a + j * N], transformed[z + j * N + n]);
    }
    return sum;
}

@compute @workgroup_size(HASH_THREADS)
fn rows_resident(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let lane = lane_of(local, HASH_THREADS);
    let team = lane / 32u;
    let t = lane % 32u;
    for (var i = 0u; i < rounds(); i++) {
        let p = i * (HASH_THREADS / 32u) + team;
        let row = row_of(group.x, p);
        let slot = jobs[row.job].slot;
        let z = transformed_of(row.local_job, 0u);
        var v = Octet();
        //EACH v.c# = row_sum(slot, row.row, z, t + #u * 32u);
        rows_put_far(p * ROW_WORDS, t, v);
        if t < 8u {
            atomicStore(&hint_bits[p * 8u + t], 0u);
        }
    }
    workgroupBarrier();
    for (var i = 0u; i < rounds(); i++) {
        let p = i * (HASH_THREADS / 32u) + team;
        let row = row_of(group.x, p);
        if row.live {
            set_hint_bits(row.job, row.row, p, t);
        }
    }
    // The hints are read two barriers later.
    finish_rows(group.x, team, t);

    let p = lane / batch.l;
    let mine = row_of(group.x, p);
    if mine.live && lane % batch.l == 0u {
        let slot = jobs[mine.job].slot;
        let generation = jobs[mine.job].generation;
        var complete = challenge_complete(mine.job)
            && resident[slot_mark(slot, batch.k * batch.l + mine.row)] == generation;
        for (var j = 0u; j < batch.l; j++) {
            complete = complete && resident[slot_mark(slot, mine.row * batch.l + j)] == generation;
        }
        if complete {
            notes[status_of(mine.job) + STATUS_ROWS + mine.row] = DONE;
        }
    }
}
