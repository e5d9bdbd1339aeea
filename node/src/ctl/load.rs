//! `parsctl load`: calls a second that a node answers, and how long each takes.
//!
//! One thread keeps one request in work on each of some connections: it sends all, then reads all. So
//! the answers' times are those of a node that always has something to do.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::ops::Range;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};

use super::CtlError;

/// A node that says nothing for this long is gone.
const PATIENCE: Duration = Duration::from_secs(20);
/// Bytes read at a time.
const READ_BYTES: usize = 64 * 1024;

/// Options of `parsctl load`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// Host and port of the node's HTTP.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8545")]
    node: String,

    /// The method that is called.
    #[arg(long, default_value = "eth_blockNumber")]
    method: String,

    /// Its parameters, as a JSON list.
    #[arg(long, value_name = "JSON", default_value = "[]", value_parser = parse_list)]
    params: Value,

    /// Connections.
    #[arg(long, short, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    connections: u16,

    /// Threads that call, each over its share of the connections.
    #[arg(long, short, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    threads: u16,

    /// Seconds to measure; the first fifth more warms up.
    #[arg(long, short, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,

    /// Print JSON.
    #[arg(long)]
    json: bool,
}

fn parse_list(text: &str) -> Result<Value, String> {
    match serde_json::from_str(text) {
        Ok(list @ Value::Array(_)) => Ok(list),
        Ok(_) => Err("parameters are a list, for example [\"latest\", false]".to_owned()),
        Err(error) => Err(format!("not JSON: {error}")),
    }
}

/// Measures and prints.
pub(super) fn run(options: &Options, out: &mut impl Write) -> Result<ExitCode, CtlError> {
    let call =
        json!({"jsonrpc": "2.0", "id": 1, "method": options.method, "params": options.params});
    let body = call.to_string();
    let request = format!(
        "POST / HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        options.node,
        body.len()
    );
    let failed = |error| CtlError::Input(format!("{}: {error}", options.node));
    // One call first: an answer that is an error is not worth measuring.
    let mut first = Connection::open(&options.node).map_err(failed)?;
    let answer = first.exchange(request.as_bytes()).map_err(failed)?;
    let answer: Value = serde_json::from_slice(&answer)?;
    if let Some(error) = answer.get("error") {
        return Err(CtlError::Input(format!(
            "the node answers with the error {error}"
        )));
    }
    let time = Duration::from_secs(options.seconds);
    let threads = options.threads.min(options.connections);
    let share = usize::from(options.connections.div_ceil(threads));
    let result = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| scope.spawn(|| measure(&options.node, request.as_bytes(), share, time)))
            .collect();
        let mut times = Vec::new();
        for worker in workers {
            let part = worker
                .join()
                .map_err(|_| io::Error::other("a thread of the measurement broke off"))??;
            times.extend(part);
        }
        Ok::<_, io::Error>(times)
    });
    let mut times = result.map_err(failed)?;
    times.sort_unstable();
    #[allow(clippy::cast_precision_loss)]
    let rate = times.len() as f64 / time.as_secs_f64();
    let percentile = |percent: usize| {
        let index = times.len().saturating_sub(1) * percent / 100;
        times.get(index).copied().unwrap_or_default()
    };
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let (half, most, worst) = (percentile(50), percentile(99), percentile(100));
    if options.json {
        let report = json!({
            "method": options.method,
            "connections": share * usize::from(threads),
            "answers": times.len(),
            "perSecond": rate,
            "medianMicros": micros(half),
            "p99Micros": micros(most),
            "longestMicros": micros(worst),
        });
        writeln!(out, "{report}")?;
    } else {
        writeln!(
            out,
            "{} over {} connections: {rate:.0} a second, median {} us, 99 % within {} us, longest {} us",
            options.method,
            share * usize::from(threads),
            micros(half),
            micros(most),
            micros(worst),
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The time of each answer that came within `time`, after a warm-up of a fifth of it.
fn measure(
    node: &str,
    request: &[u8],
    connections: usize,
    time: Duration,
) -> io::Result<Vec<Duration>> {
    let mut all = (0..connections)
        .map(|_| Connection::open(node))
        .collect::<io::Result<Vec<_>>>()?;
    let begin = Instant::now() + time / 5;
    let end = begin + time;
    let mut times = Vec::new();
    for connection in &mut all {
        connection.send(request, Instant::now())?;
    }
    loop {
        for connection in &mut all {
            let answer = connection.receive()?;
            let now = Instant::now();
            if now >= end {
                return Ok(times);
            }
            if answer.windows(ERROR.len()).any(|part| part == ERROR) {
                let text = String::from_utf8_lossy(answer).into_owned();
                return Err(io::Error::other(format!("the node answers {text}")));
            }
            if now >= begin {
                times.push(now.saturating_duration_since(connection.sent));
            }
            connection.send(request, now)?;
        }
    }
}

/// How an answer with an error is told from others.
const ERROR: &[u8] = b"\"error\":{";

/// A connection that is kept, with at most one request in work.
struct Connection {
    stream: TcpStream,
    sent: Instant,
    buffer: Vec<u8>,
    /// Bytes of the buffer that were read.
    filled: usize,
    heads: Heads,
}

impl Connection {
    fn open(node: &str) -> io::Result<Self> {
        let address = node
            .to_socket_addrs()?
            .next()
            .ok_or_else(|| io::Error::new(ErrorKind::NotFound, "no such host"))?;
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream,
            sent: Instant::now(),
            buffer: vec![0; READ_BYTES],
            filled: 0,
            heads: Heads::default(),
        })
    }

    fn send(&mut self, request: &[u8], now: Instant) -> io::Result<()> {
        self.sent = now;
        self.stream.write_all(request)
    }

    fn exchange(&mut self, request: &[u8]) -> io::Result<Vec<u8>> {
        self.send(request, Instant::now())?;
        self.receive().map(<[u8]>::to_vec)
    }

    /// The body of the answer.
    fn receive(&mut self) -> io::Result<&[u8]> {
        self.filled = 0;
        loop {
            let read = self.buffer.get(..self.filled).unwrap_or_default();
            if let Some(body) = self.heads.body(read)? {
                return Ok(self.buffer.get(body).unwrap_or_default());
            }
            if self.filled == self.buffer.len() {
                self.buffer.resize(2 * self.filled, 0);
            }
            let room = self.buffer.get_mut(self.filled..).unwrap_or_default();
            match self.stream.read(room)? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                count => self.filled += count,
            }
        }
    }
}

/// Finds the bodies of HTTP answers. Most come behind the head that the last one had, which is known by its bytes, so
/// that the measurement takes no more of the machine than it has to.
#[derive(Default)]
struct Heads {
    known: Vec<u8>,
    /// Bytes of the body behind it.
    length: usize,
}

impl Heads {
    /// Where the body of an answer is, once all of it is there.
    fn body(&mut self, read: &[u8]) -> io::Result<Option<Range<usize>>> {
        if self.known.is_empty() || !read.starts_with(&self.known) {
            let Some((start, length)) = head(read)? else {
                return Ok(None);
            };
            self.known.clear();
            self.known
                .extend_from_slice(read.get(..start).unwrap_or_default());
            self.length = length;
        }
        let start = self.known.len();
        let whole = start.saturating_add(self.length);
        Ok((read.len() >= whole).then_some(start..whole))
    }
}

/// Where the head of an HTTP answer ends, once all of it is there, and the length of the body behind it.
fn head(read: &[u8]) -> io::Result<Option<(usize, usize)>> {
    const END: &[u8] = b"\r\n\r\n";
    const LENGTH: &[u8] = b"content-length:";
    let Some(end) = read.windows(END.len()).position(|part| part == END) else {
        return Ok(None);
    };
    let wrong = |words: &str| io::Error::new(ErrorKind::InvalidData, words.to_owned());
    let head = read.get(..end).unwrap_or_default();
    let mut lines = head.split(|byte| *byte == b'\n');
    if !lines
        .next()
        .is_some_and(|status| status.starts_with(b"HTTP/1.1 200"))
    {
        return Err(wrong("the node does not answer with status 200"));
    }
    let length = lines
        .filter(|line| line.len() > LENGTH.len())
        .find_map(|line| {
            let (name, value) = line.split_at(LENGTH.len());
            name.eq_ignore_ascii_case(LENGTH).then_some(value)
        })
        .and_then(|value| {
            std::str::from_utf8(value)
                .ok()?
                .trim()
                .parse::<usize>()
                .ok()
        })
        .ok_or_else(|| wrong("an answer has no length"))?;
    Ok(Some((end + END.len(), length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_found_when_they_are_whole() {
        let answers: [&[u8]; 4] = [
            b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nx: y\r\n\r\n{1}",
            b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nx: z\r\n\r\n{1}",
            b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nx: z\r\n\r\n{12}",
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        ];
        // In any order: what the last head was makes no difference.
        let mut heads = Heads::default();
        for answer in [0, 0, 1, 2, 2, 3, 3, 0, 2, 1].map(|index| answers[index]) {
            for end in 0..answer.len() {
                assert_eq!(heads.body(&answer[..end]).unwrap(), None, "{end}");
            }
            let body = heads.body(answer).unwrap().unwrap();
            let start = answer.windows(4).position(|part| part == b"\r\n\r\n");
            assert_eq!(body, start.unwrap() + 4..answer.len());
        }
        for wrong in [
            "HTTP/1.1 503 Service Unavailable\r\n\r\n",
            "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nx: y\r\n\r\n",
        ] {
            assert!(heads.body(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn parameters_are_lists() {
        assert!(parse_list("[\"latest\"]").is_ok());
        for wrong in ["{}", "latest", "[", "1"] {
            assert!(parse_list(wrong).is_err(), "{wrong}");
        }
    }
}
