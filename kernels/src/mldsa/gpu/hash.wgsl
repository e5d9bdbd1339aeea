// All hashing of a job that does not depend on w', one job a thread: the first half of the workgroups makes mu, the
// second half checks the hints and makes c. The two have nothing in common, so they run side by side.

@compute @workgroup_size(HASH_THREADS)
fn hash(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let lane = lane_of(local, HASH_THREADS);
    let groups = (batch.jobs + HASH_THREADS - 1u) / HASH_THREADS;
    if group.x < groups {
        let index = group.x * HASH_THREADS + lane;
        if index < batch.jobs {
            message(batch.first_job + index);
        }
    } else {
        let index = (group.x - groups) * HASH_THREADS + lane;
        if index < batch.jobs {
            challenge(batch.first_job + index, lane);
        }
    }
}

// FIPS 204, Algorithm 8, lines 6 and 7: tr = SHAKE256(pk, 64), which a resident key has, and mu = SHAKE256(tr || M', 64).
// Leaves mu, and the padding of the final hash, in the scratch of the job.
fn message(job: u32) {
    let key = key_of(job);
    let message = message_of(job);
    let message_blocks = jobs[job].message_blocks;
    let slot = jobs[job].slot;
    var complete = true;

    var s = State();
    var block = 0u;
    var blocks = batch.key_blocks + message_blocks;
    if message_blocks == 0u {
        absorb_mu(&s, message);
        blocks = 0u;
    } else if slot != NO_SLOT {
        absorb_tr(&s, slot_t1(slot, batch.k));
        complete = resident[slot_mark(slot, batch.k * batch.l + batch.k)] == jobs[job].generation;
        block = batch.key_blocks;
    }
    for (; block < blocks; block++) {
        var from_word = key + block * 34u;
        if block >= batch.key_blocks {
            from_word = message + (block - batch.key_blocks) * 34u;
        }
        if block == batch.key_blocks {
            // tr is the start of the next message: the host left its 16 words zero.
            keep_64_bytes(&s);
        }
        absorb_input(&s, from_word);
        permute(&s);
    }

    let out = final_of(job);
    store_64_bytes(&s, out);
    let end = 16u + batch.k * batch.w1_bits * 8u;
    let total = batch.final_blocks * 34u;
    for (var i = end; i < total; i++) {
        var word = 0u;
        if i == end {
            word = 0x1fu;
        }
        if i == total - 1u {
            word |= 0x80000000u;
        }
        notes[out + i] = word;
    }
    if complete {
        notes[status_of(job) + STATUS_MESSAGE] = DONE;
    }
}

// HintBitUnpack's checks (FIPS 204, Algorithm 21).
fn hint_is_well_formed(hint: u32) -> bool {
    var start = 0u;
    for (var row = 0u; row < batch.k; row++) {
        let end = input_byte(hint, batch.omega + row);
        if end < start || end > batch.omega {
            return false;
        }
        var previous = 0u;
        for (var i = start; i < end; i++) {
            let position = input_byte(hint, i);
            if i > start && position <= previous {
                return false;
            }
            previous = position;
        }
        start = end;
    }
    for (var i = start; i < batch.omega; i++) {
        if input_byte(hint, i) != 0u {
            return false;
        }
    }
    return true;
}

// Each thread's block of output and its c as two bitmaps, word after word of all threads; no thread reads another's.
var<workgroup> squeezed: array<u32, HASH_THREADS * 34u>;
var<workgroup> nonzero: array<u32, HASH_THREADS * 8u>;
var<workgroup> negative: array<u32, HASH_THREADS * 8u>;

// The hint checks and SampleInBall (FIPS 204, Algorithm 29).
fn challenge(job: u32, lane: u32) {
    notes[status_of(job) + STATUS_HINT] = select(REFUSED, DONE, hint_is_well_formed(hint_of(job)));

    var s = State();
    absorb_challenge(&s, signature_of(job), batch.challenge_words);
    s.a16 ^= vec2<u32>(0u, 0x80000000u);
    for (var i = 0u; i < 8u; i++) {
        nonzero[i * HASH_THREADS + lane] = 0u;
        negative[i * HASH_THREADS + lane] = 0u;
    }
    let first = N - batch.tau;
    var signs = vec2<u32>(0u, 0u);
    var i = first;
    for (var block = 0u; block < REJECTION_BLOCKS && i < N; block++) {
        permute(&s);
        keep_squeezed(&s, lane);
        var at = 0u;
        if block == 0u {
            signs = s.a0;
            at = 8u;
        }
        for (; at < 136u && i < N; at++) {
            let j = (squeezed[(at >> 2u) * HASH_THREADS + lane] >> ((at & 3u) * 8u)) & 0xffu;
            if j <= i {
                let n = i - first;
                let sign = (select(signs.x, signs.y, n >= 32u) >> (n & 31u)) & 1u;
                // c[i] = c[j], where c[i] was zero; c[j] = 1 or -1.
                let to = (i >> 5u) * HASH_THREADS + lane;
                let from_word = (j >> 5u) * HASH_THREADS + lane;
                let bit = j & 31u;
                nonzero[to] |= ((nonzero[from_word] >> bit) & 1u) << (i & 31u);
                negative[to] |= ((negative[from_word] >> bit) & 1u) << (i & 31u);
                nonzero[from_word] |= 1u << bit;
                negative[from_word] = (negative[from_word] & ~(1u << bit)) | (sign << bit);
                i++;
            }
        }
    }
    let out = final_of(job) + SCRATCH_CHALLENGE;
    for (var word = 0u; word < 8u; word++) {
        notes[out + word] = nonzero[word * HASH_THREADS + lane];
        notes[out + 8u + word] = negative[word * HASH_THREADS + lane];
    }
    if i == N {
        notes[status_of(job) + STATUS_CHALLENGE] = DONE;
    }
}
