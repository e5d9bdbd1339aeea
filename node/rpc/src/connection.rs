//! One TCP connection, with the patience of the server built into its byte stream.
//!
//! A client that sends half a request, or never reads its answers, must not hold a place for ever.
//! Timers inside the protocol code cannot see a socket that takes no bytes, so they sit here: below
//! HTTP and WebSocket alike.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep_until};

/// Closes a connection from outside of it: for the subscription whose client does not read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Closer(Arc<Closing>);

#[derive(Debug, Default)]
struct Closing {
    closed: AtomicBool,
    reader: AtomicWaker,
    writer: AtomicWaker,
}

impl Closer {
    /// Makes every read and write of the connection fail from now on.
    pub(crate) fn close(&self) {
        self.0.closed.store(true, Ordering::Release);
        self.0.reader.wake();
        self.0.writer.wake();
    }

    fn check(&self) -> io::Result<()> {
        if self.0.closed.load(Ordering::Acquire) {
            return Err(io::Error::new(
                io::ErrorKind::ConnectionAborted,
                "closed by the server",
            ));
        }
        Ok(())
    }
}

/// A byte stream that fails when nothing has moved for `idle`, or when a write has waited for
/// `stall`.
#[derive(Debug)]
pub(crate) struct Patient<S> {
    /// The connection's place among all connections, freed when this is dropped: before the stream ends, so that a
    /// client that sees the end finds the place free.
    place: Option<OwnedSemaphorePermit>,
    stream: S,
    closer: Closer,
    idle: Duration,
    stall: Duration,
    last_moved: Instant,
    idle_timer: Pin<Box<Sleep>>,
    write_timer: Option<Pin<Box<Sleep>>>,
    /// Bytes that were read and are to be read again.
    again: Vec<u8>,
}

impl<S> Patient<S> {
    pub(crate) fn new(stream: S, closer: Closer, idle: Duration, stall: Duration) -> Self {
        let now = Instant::now();
        Self {
            place: None,
            stream,
            closer,
            idle,
            stall,
            last_moved: now,
            idle_timer: Box::pin(sleep_until(now + idle)),
            write_timer: None,
            again: Vec::new(),
        }
    }

    /// Makes the stream begin again with bytes that were read from it.
    pub(crate) fn unread(&mut self, bytes: Vec<u8>) {
        self.again = bytes;
    }

    /// Holds `place` for as long as the stream lives.
    pub(crate) fn holding(mut self, place: impl Into<Option<OwnedSemaphorePermit>>) -> Self {
        self.place = place.into();
        self
    }

    /// The stream, and the connection's place, which is to be dropped before it.
    pub(crate) fn into_parts(self) -> (Option<OwnedSemaphorePermit>, S) {
        (self.place, self.stream)
    }

    /// Called after a write: bytes moved, or the wait for the reader goes on.
    fn after_write(&mut self, context: &mut Context<'_>, moved: bool) -> io::Result<()> {
        if moved {
            self.last_moved = Instant::now();
            self.write_timer = None;
            return Ok(());
        }
        let stall = self.stall;
        let timer = self
            .write_timer
            .get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + stall)));
        if timer.as_mut().poll(context).is_ready() {
            // The reading half has to learn of it as well.
            self.closer.close();
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the client does not read",
            ));
        }
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.closer.0.reader.register(context.waker());
        this.closer.check()?;
        if !this.again.is_empty() {
            let count = this.again.len().min(buffer.remaining());
            let rest = this.again.split_off(count);
            buffer.put_slice(&this.again);
            this.again = rest;
            return Poll::Ready(Ok(()));
        }
        if let Poll::Ready(result) = Pin::new(&mut this.stream).poll_read(context, buffer) {
            this.last_moved = Instant::now();
            return Poll::Ready(result);
        }
        loop {
            ready!(this.idle_timer.as_mut().poll(context));
            let deadline = this.last_moved + this.idle;
            if Instant::now() >= deadline {
                this.closer.close();
                return Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the connection is idle",
                )));
            }
            this.idle_timer.as_mut().reset(deadline);
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.closer.0.writer.register(context.waker());
        this.closer.check()?;
        let result = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.after_write(context, result.is_ready())?;
        result
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.closer.0.writer.register(context.waker());
        this.closer.check()?;
        let result = Pin::new(&mut this.stream).poll_write_vectored(context, slices);
        this.after_write(context, result.is_ready())?;
        result
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.closer.check()?;
        Pin::new(&mut this.stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    const IDLE: Duration = Duration::from_millis(120);
    const STALL: Duration = Duration::from_millis(60);

    #[tokio::test]
    async fn an_idle_connection_ends() {
        let (_client, server) = duplex(64);
        let mut server = Patient::new(server, Closer::default(), IDLE, STALL);
        let began = Instant::now();
        let error = server.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(began.elapsed() >= IDLE);
    }

    #[tokio::test]
    async fn bytes_in_either_direction_keep_it_alive() {
        let (mut client, server) = duplex(64);
        let mut server = Patient::new(server, Closer::default(), IDLE, STALL);
        for _ in 0..4 {
            tokio::time::sleep(IDLE / 2).await;
            client.write_u8(1).await.unwrap();
            assert_eq!(server.read_u8().await.unwrap(), 1);
            tokio::time::sleep(IDLE / 2).await;
            server.write_u8(2).await.unwrap();
            assert_eq!(client.read_u8().await.unwrap(), 2);
        }
    }

    #[tokio::test]
    async fn a_reader_that_takes_nothing_loses_both_directions() {
        let (_client, server) = duplex(8);
        let server = Patient::new(server, Closer::default(), 100 * IDLE, STALL);
        let (mut read, mut write) = tokio::io::split(server);
        let reading = tokio::spawn(async move { read.read_u8().await });
        let error = write.write_all(&[0; 64]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(
            reading.await.unwrap().unwrap_err().kind(),
            io::ErrorKind::ConnectionAborted
        );
    }

    #[tokio::test]
    async fn what_was_read_is_read_again() {
        let (mut client, server) = duplex(64);
        let mut server = Patient::new(server, Closer::default(), IDLE, STALL);
        client.write_all(b"behind").await.unwrap();
        server.unread(b"before".to_vec());
        let mut read = [0; 4];
        for expected in [b"befo", b"rebe", b"hind"] {
            server.read_exact(&mut read).await.unwrap();
            assert_eq!(&read, expected);
        }
    }

    #[tokio::test]
    async fn the_closer_wakes_a_waiting_reader() {
        let (_client, server) = duplex(8);
        let closer = Closer::default();
        let mut server = Patient::new(server, closer.clone(), 100 * IDLE, STALL);
        let reading = tokio::spawn(async move { server.read_u8().await });
        tokio::time::sleep(STALL).await;
        closer.close();
        assert_eq!(
            reading.await.unwrap().unwrap_err().kind(),
            io::ErrorKind::ConnectionAborted
        );
    }
}
