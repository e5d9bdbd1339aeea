// HintBitUnpack's checks (FIPS 204, Algorithm 21) and SampleInBall (Algorithm 29). One job a thread.
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

@compute @workgroup_size(HASH_THREADS)
fn challenge(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= batch.jobs {
        return;
    }
    let job = batch.first_job + id.x;
    let signature = signature_of(job);
    let hint = signature + batch.challenge_words + batch.l * (batch.gamma1_bits + 1u) * 8u;
    notes[status_of(job) + STATUS_HINT] = select(REFUSED, DONE, hint_is_well_formed(hint));

    var s = State();
    absorb_challenge(&s, signature, batch.challenge_words);
    s.a16 ^= vec2<u32>(0u, 0x80000000u);
    let c = transformed_of(id.x, batch.l);
    for (var n = 0u; n < N; n++) {
        transformed[c + n] = 0u;
    }
    let output = final_of(job) + SCRATCH_XOF;
    let first = N - batch.tau;
    var signs = vec2<u32>(0u, 0u);
    var i = first;
    for (var block = 0u; block < REJECTION_BLOCKS && i < N; block++) {
        permute(&s);
        // Bytes are taken by a running index, which registers do not have; this thread's own scratch does.
        store_block(&s, output);
        var at = 0u;
        if block == 0u {
            signs = s.a0;
            at = 8u;
        }
        for (; at < 136u && i < N; at++) {
            let j = (notes[output + (at >> 2u)] >> ((at & 3u) * 8u)) & 0xffu;
            if j <= i {
                let n = i - first;
                let half = select(signs.x, signs.y, n >= 32u);
                let negative = ((half >> (n & 31u)) & 1u) == 1u;
                transformed[c + i] = transformed[c + j];
                transformed[c + j] = select(1u, Q - 1u, negative);
                i++;
            }
        }
    }
    if i == N {
        notes[status_of(job) + STATUS_CHALLENGE] = DONE;
    }
}
