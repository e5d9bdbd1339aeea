//! The least WebSocket client that can also misbehave: a handshake, and frames as bytes.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
};

use crate::http;

/// Kind of a frame that carries text.
pub const TEXT: u8 = 1;
/// Kind of a frame that closes.
pub const CLOSE: u8 = 8;
/// Kind of a frame that wants an echo.
pub const PING: u8 = 9;

/// Kind of a frame that is the echo.
pub const PONG: u8 = 10;

/// An open WebSocket connection.
#[derive(Debug)]
pub struct WebSocket(pub TcpStream);

impl WebSocket {
    /// Connects and shakes hands.
    pub fn connect(port: u16) -> io::Result<Self> {
        let mut stream = http::connect(port)?;
        stream.write_all(
            b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
              sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n",
        )?;
        let response = http::read_response(&mut stream)?;
        if response.status == 101 {
            Ok(Self(stream))
        } else {
            Err(io::Error::other(format!(
                "no upgrade, status {}: {}",
                response.status, response.body
            )))
        }
    }

    /// Sends one whole frame, masked with zeros (a mask as good as any).
    pub fn send(&mut self, kind: u8, payload: &[u8]) -> io::Result<()> {
        let mut frame = vec![0x80 | kind];
        match u16::try_from(payload.len()) {
            Ok(length @ 0..126) => frame.push(0x80 | length as u8),
            Ok(length) => {
                frame.push(0x80 | 126);
                frame.extend_from_slice(&length.to_be_bytes());
            }
            Err(_) => {
                frame.push(0x80 | 127);
                frame.extend_from_slice(&(payload.len() as u64).to_be_bytes());
            }
        }
        frame.extend_from_slice(&[0; 4]);
        frame.extend_from_slice(payload);
        self.0.write_all(&frame)
    }

    /// The next frame: kind and payload.
    pub fn receive(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let mut head = [0; 2];
        self.0.read_exact(&mut head)?;
        let length = match head[1] & 0x7f {
            126 => {
                let mut bytes = [0; 2];
                self.0.read_exact(&mut bytes)?;
                u64::from(u16::from_be_bytes(bytes))
            }
            127 => {
                let mut bytes = [0; 8];
                self.0.read_exact(&mut bytes)?;
                u64::from_be_bytes(bytes)
            }
            short => u64::from(short),
        };
        let mut payload = vec![0; usize::try_from(length).expect("a frame that fits memory")];
        self.0.read_exact(&mut payload)?;
        Ok((head[0] & 0x0f, payload))
    }

    /// The next text; answers nothing else on the way.
    pub fn text(&mut self) -> io::Result<String> {
        loop {
            match self.receive()? {
                (TEXT, payload) => return Ok(String::from_utf8_lossy(&payload).into_owned()),
                (CLOSE, _) => {
                    return Err(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        "the node closed the WebSocket",
                    ));
                }
                _ => {}
            }
        }
    }
}
