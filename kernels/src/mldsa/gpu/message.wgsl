// FIPS 204, Algorithm 8, lines 6 and 7: tr = SHAKE256(pk, 64), mu = SHAKE256(tr || M', 64). One job a thread.
// Leaves mu, and the padding of the final hash, in the scratch of the job.
@compute @workgroup_size(HASH_THREADS)
fn message(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= batch.jobs {
        return;
    }
    let job = batch.first_job + id.x;
    let key = key_of(job);
    let message = message_of(job);
    let message_blocks = jobs[job].message_blocks;

    var s = State();
    if message_blocks == 0u {
        absorb_mu(&s, message);
    }
    let blocks = select(batch.key_blocks + message_blocks, 0u, message_blocks == 0u);
    for (var block = 0u; block < blocks; block++) {
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
    notes[status_of(job) + STATUS_MESSAGE] = DONE;
}
