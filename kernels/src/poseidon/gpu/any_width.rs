//! Poseidon of any width in one shader, for states that no thread has registers for.
//!
//! Straight-line code holds five lists of up to 16 elements, some 700 words at the widest, of which a GPU's thread has 255 at most; and
//! its compile time grows with the square of the width's products. Here the lists are places of one array in the thread's own memory,
//! a dot of any length is one loop ([`Writer::dot_in_memory`]), and width and rounds are numbers of the batch: one compiled shader
//! serves every width, in both forms of limbs.

use super::super::{permute::MAX_WIDTH, schedule::HALF};
use crate::field::{
    bn254::Scalar,
    wgsl::{MOST_TERMS, Writer},
};

/// Elements of a thread: the state, and as many again for its next, or for u and z of the partial rounds.
const WORDS: usize = 3 * MAX_WIDTH - 2;

const _: () = assert!(2 * (MAX_WIDTH - 1) <= MOST_TERMS, "a dot is too long");

/// The functions and the entry point `permute`.
///
/// `words` holds the state from its start. In full rounds the next one stands behind it, and they change places. In partial rounds the
/// last n = t - 1 of u and of z stand there, each in a circle.
pub(super) fn source(writer: &Writer<Scalar>, done: u32) -> String {
    let dot = writer.dot_in_memory();
    format!(
        "
var<private> words: array<F, {WORDS}>;
{dot}
fn raised(x: F) -> F {{
    var r = x;
    for (var i = 0u; i < 3u; i++) {{
        var y = r;
        if i == 2u {{ y = x; }}
        r = mul(r, y);
    }}
    return r;
}}
@compute @workgroup_size(THREADS)
fn permute(@builtin(global_invocation_id) id: vec3<u32>) {{
    if id.x >= batch.count {{ return; }}
    let at = select(id.x, batch.count - 1u - id.x, batch.reverse != 0u);
    let t = batch.width;
    let n = t - 1u;
    let row = 2u * n + 1u;
    let matrix = t + {HALF}u * t;
    let partial = matrix + t * t;
    let scale = partial + batch.partial_rounds * row;
    for (var i = 0u; i < t; i++) {{ words[i] = settle(add(load(at * t + i), constant(i))); }}
    var addends = t;
    for (var half = 0u; half < 2u; half++) {{
        var state = 0u;
        for (var round = 0u; round < {HALF}u; round++) {{
            for (var j = 0u; j < t; j++) {{ words[state + j] = raised(words[state + j]); }}
            let next = t - state;
            for (var j = 0u; j < t; j++) {{
                words[next + j] = dot(vec2(state), vec2(0u), t, 1u, matrix + j * t, addends, zero());
                addends += 1u;
            }}
            state = next;
        }}
        if half == 0u {{
            var u = words[0];
            var newest = 0u;
            for (var j = 0u; j < n; j++) {{ words[t + n + j] = zero(); }}
            // The partial rounds, and then one dot for each word but the first.
            for (var round = 0u; round < batch.partial_rounds + n; round++) {{
                let closing = round >= batch.partial_rounds;
                // Behind the last round's row stands the scale.
                let at_row = partial + round * row + select(0u, 1u, closing);
                // The first rounds read the words that they began with instead of u.
                let first = round < n;
                var z = zero();
                if !closing {{ z = raised(u); }}
                let sum = dot(
                    vec2(select(t, 1u, first), t + n), vec2(select(newest, 0u, first), newest),
                    n, 2u, at_row, at_row + 2u * n, z,
                );
                if closing {{
                    words[1u + round - batch.partial_rounds] = sum;
                }} else {{
                    newest = select(newest, n, newest == 0u) - 1u;
                    words[t + newest] = sum;
                    words[t + n + newest] = z;
                    u = sum;
                }}
            }}
            words[0] = mul(u, constant(scale));
            addends = scale + 1u + n * row;
        }}
    }}
    for (var i = 0u; i < batch.rows; i++) {{ store((at * batch.rows + i) * 8u, words[i]); }}
    results[batch.marks_out + at] = {done}u;
}}
"
    )
}
