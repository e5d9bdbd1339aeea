//! A server for plain requests: whole, of one form, one after another on a kept connection.
//!
//! Almost every call is one, and then the general HTTP server's work is most of what a cheap call takes of the
//! processor. Here such a call is read, answered and written with no more than that takes. The first thing that is
//! not plain ([`head`]) ends it: the connection goes on with the general server, from the first byte of that request.

mod head;

use std::io;
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::poll;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, timeout_at};

use crate::dispatch::Direct;
use crate::gate::{self, Rules};
use crate::polite::Polite;
use crate::reply::Reply;
use head::{Head, Heads, Plain};

/// A connection that sends nothing at first is closed after this, as by the general server.
const FIRST_REQUEST: Duration = Duration::from_secs(30);
/// Bytes there is room for before each read.
const READ_BYTES: usize = 4 * 1024;
/// A longer head is not plain.
const MOST_HEAD: usize = 16 * 1024;
/// Bytes read while an answer is waited for, so that it is seen when the client goes away.
const READ_AHEAD: usize = 16 * 1024;
/// Larger buffers are given back between requests.
const KEPT: usize = 32 * 1024;

/// Answers plain requests until the client or the server ends the connection. What is returned was read of something
/// that is not plain, and is to be read again by the general server.
///
/// # Errors
/// Those of the stream.
pub(crate) async fn serve<S>(
    stream: &mut S,
    rules: &Rules,
    service: &Polite<Direct>,
    stop: impl Future<Output = ()>,
) -> io::Result<Option<Vec<u8>>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut stop = pin!(stop);
    let mut first = Some(Instant::now() + FIRST_REQUEST);
    let mut date = Date::default();
    let mut buffer = Vec::with_capacity(READ_BYTES);
    let mut written = Vec::new();
    let mut heads = Heads::default();
    loop {
        if buffer.is_empty() {
            let read = async {
                match first.take() {
                    Some(end) => timeout_at(end, fill(stream, &mut buffer)).await?,
                    None => fill(stream, &mut buffer).await,
                }
            };
            let read = tokio::select! {
                biased;
                read = read => read?,
                () = &mut stop => return Ok(None),
            };
            if read == 0 {
                return Ok(None);
            }
        }
        let mut end = None;
        let request = match receive(stream, rules, &mut heads, &mut buffer, &mut end).await? {
            Received::Whole(request) => request,
            Received::Other => return Ok(Some(buffer)),
            Received::Ended => return Ok(None),
            Received::Late => {
                let reply = Reply::timed_out();
                return send(stream, &reply, rules, date.now(), &mut written)
                    .await
                    .map(|()| None);
            }
        };
        let mut ahead = Vec::new();
        let mut reply = {
            let body = buffer.get(request.head..request.whole).unwrap_or_default();
            let mut answer = pin!(gate::answer(body, rules, service));
            match poll!(answer.as_mut()) {
                Poll::Ready(reply) => reply,
                Poll::Pending => {
                    let end = end.unwrap_or_else(|| Instant::now() + rules.timeout);
                    tokio::select! {
                        biased;
                        reply = timeout_at(end, answer) => {
                            reply.unwrap_or_else(|_| Reply::timed_out())
                        }
                        outcome = gone(stream, &mut ahead) => return outcome.map(|()| None),
                    }
                }
            }
        };
        reply.closing |= request.last || poll!(stop.as_mut()).is_ready();
        send(stream, &reply, rules, date.now(), &mut written).await?;
        if reply.closing {
            return Ok(None);
        }
        buffer.drain(..request.whole);
        buffer.append(&mut ahead);
        if buffer.is_empty() && buffer.capacity() > KEPT {
            buffer = Vec::with_capacity(READ_BYTES);
        }
    }
}

/// What came of waiting for a request.
enum Received {
    /// It is there.
    Whole(Plain),
    /// It is not plain.
    Other,
    /// Its body did not come in time.
    Late,
    /// There is nothing to answer.
    Ended,
}

/// Reads until the request that `buffer` begins with is whole. If that takes a second read, `end` is when the time
/// for the request and its answer is over.
async fn receive<S: AsyncRead + Unpin>(
    stream: &mut S,
    rules: &Rules,
    heads: &mut Heads,
    buffer: &mut Vec<u8>,
    end: &mut Option<Instant>,
) -> io::Result<Received> {
    let mut found = heads.read(buffer, rules);
    loop {
        match found {
            Head::Plain(request) if buffer.len() >= request.whole => {
                return Ok(Received::Whole(request));
            }
            Head::Plain(..) => {}
            Head::Partial if buffer.len() < MOST_HEAD => {}
            Head::Partial | Head::Other => return Ok(Received::Other),
        }
        let end = *end.get_or_insert_with(|| Instant::now() + rules.timeout);
        match (timeout_at(end, fill(stream, buffer)).await, &found) {
            (Ok(Ok(0)), _) => return Ok(Received::Ended),
            (Ok(Ok(_)), Head::Partial) => found = heads.read(buffer, rules),
            (Ok(Ok(_)), _) => {}
            (Ok(Err(error)), _) => return Err(error),
            (Err(_), Head::Plain(..)) => return Ok(Received::Late),
            // Whoever asks is not known yet, and is told nothing.
            (Err(_), _) => return Ok(Received::Ended),
        }
    }
}

/// Reads some more; how much, 0 at the end.
async fn fill<S: AsyncRead + Unpin>(stream: &mut S, buffer: &mut Vec<u8>) -> io::Result<usize> {
    if buffer.capacity() - buffer.len() < READ_BYTES / 2 {
        buffer.reserve(READ_BYTES);
    }
    stream.read_buf(buffer).await
}

/// Ends when the client goes away. What it sends meanwhile is put into `ahead`.
async fn gone<S: AsyncRead + Unpin>(stream: &mut S, ahead: &mut Vec<u8>) -> io::Result<()> {
    while ahead.len() < READ_AHEAD {
        if fill(stream, ahead).await? == 0 {
            return Ok(());
        }
    }
    std::future::pending().await
}

/// Writes an answer. `written` is room that is kept.
async fn send<S: AsyncWrite + Unpin>(
    stream: &mut S,
    reply: &Reply,
    rules: &Rules,
    date: &str,
    written: &mut Vec<u8>,
) -> io::Result<()> {
    written.clear();
    let rest = reply.write(rules.plain_headers, date, written);
    stream.write_all(written).await?;
    if !rest.is_empty() {
        stream.write_all(rest).await?;
    }
    Ok(())
}

/// The date as HTTP writes it, which changes once a second.
#[derive(Default)]
struct Date {
    second: Option<u64>,
    text: String,
}

impl Date {
    fn now(&mut self) -> &str {
        let now = SystemTime::now();
        let second = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        if self.second != Some(second) {
            self.second = Some(second);
            self.text = httpdate::fmt_http_date(now);
        }
        &self.text
    }
}
