//! The least HTTP/1.1 client that can also misbehave: bytes out, bytes in.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// How long a connection waits for the node before the test fails.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// An answer: status code, lower-case header lines, body.
#[derive(Debug)]
pub struct Response {
    /// HTTP status code.
    pub status: u16,
    /// Header lines, lower case.
    pub headers: Vec<String>,
    /// Body as text.
    pub body: String,
}

/// Opens a connection to the node on loopback.
pub fn connect(port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The bytes of a POST with a JSON body.
pub fn post(body: &[u8]) -> Vec<u8> {
    let mut request = format!(
        "POST / HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    request
}

/// Fetches a page; answers its status and its text.
pub fn get(port: u16, path: &str) -> io::Result<Response> {
    let mut stream = connect(port)?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n"
    )?;
    read_response(&mut stream)
}

/// Sends a body over a connection of its own and reads the answer.
pub fn post_once(port: u16, body: &[u8]) -> io::Result<Response> {
    let mut stream = connect(port)?;
    stream.write_all(&post(body))?;
    read_response(&mut stream)
}

/// Reads one answer from a connection; leaves the connection usable when the answer had a length.
///
/// # Errors
/// The connection's own, `UnexpectedEof` when it closes early, `InvalidData` when it is not HTTP.
pub fn read_response(stream: &mut TcpStream) -> io::Result<Response> {
    let mut head = Vec::new();
    let mut byte = [0u8; 1];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte)? == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the node closed the connection",
            ));
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let mut lines = head
        .split("\r\n")
        .filter(|line| !line.is_empty())
        .map(str::to_owned);
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1)?.parse().ok())
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no status line"))?;
    let headers: Vec<String> = lines.collect();
    let length = headers.iter().find_map(|line| {
        line.strip_prefix("content-length:")?
            .trim()
            .parse::<usize>()
            .ok()
    });
    let chunked = headers
        .iter()
        .any(|line| line.starts_with("transfer-encoding:") && line.contains("chunked"));
    let body = match length {
        Some(length) => {
            let mut body = vec![0; length];
            stream.read_exact(&mut body)?;
            body
        }
        None if chunked => read_chunks(stream)?,
        None if matches!(status, 101 | 204 | 304) => Vec::new(),
        None => {
            let mut body = Vec::new();
            stream.read_to_end(&mut body)?;
            body
        }
    };
    Ok(Response {
        status,
        headers,
        body: String::from_utf8_lossy(&body).into_owned(),
    })
}

fn read_chunks(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = Vec::new();
        let mut byte = [0u8; 1];
        while !line.ends_with(b"\r\n") {
            stream.read_exact(&mut byte)?;
            line.push(byte[0]);
        }
        let text = String::from_utf8_lossy(&line);
        let size = usize::from_str_radix(text.trim(), 16)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "not a chunk length"))?;
        let mut chunk = vec![0; size + 2];
        stream.read_exact(&mut chunk)?;
        if size == 0 {
            return Ok(body);
        }
        body.extend_from_slice(chunk.get(..size).unwrap_or_default());
    }
}
