// FIPS 204, Algorithm 8, lines 12 and 13: c~' = SHAKE256(mu || w1) against c~, and the checks made before. One job a
// thread. Anything missing leaves the verdict open.
@compute @workgroup_size(HASH_THREADS)
fn verdict(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= batch.jobs {
        return;
    }
    let job = batch.first_job + id.x;
    let status = status_of(job);
    let hint = notes[status + STATUS_HINT];
    var refused = hint == REFUSED;
    var complete = hint == DONE
        && notes[status + STATUS_MESSAGE] == DONE
        && notes[status + STATUS_CHALLENGE] == DONE;
    for (var j = 0u; j < batch.l; j++) {
        let z = notes[status + STATUS_POLYS + j];
        refused = refused || z == REFUSED;
        complete = complete && z == DONE;
    }
    for (var i = 0u; i < batch.k; i++) {
        complete = complete && notes[status + STATUS_ROWS + i] == DONE;
    }

    var s = State();
    let data = final_of(job);
    for (var block = 0u; block < batch.final_blocks; block++) {
        absorb_notes(&s, data + block * 34u);
        permute(&s);
    }
    let differs = differs_from_input(&s, signature_of(job), batch.challenge_words);

    if refused {
        verdicts[job] = INVALID;
    } else if complete {
        verdicts[job] = select(VALID, INVALID, differs);
    }
}
