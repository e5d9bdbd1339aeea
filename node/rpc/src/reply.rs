//! What a client is told over HTTP, whoever carries it: the general server or the one for plain requests.

use std::borrow::Cow;
use std::io::Write as _;

use http::{HeaderValue, StatusCode, header};
use jsonrpsee::server::{HttpBody, HttpResponse};
use serde_json::Value;

use crate::error::code;

/// Larger bodies are not copied behind their heads.
const COPIED: usize = 16 * 1024;

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    status: StatusCode,
    /// The content type, where there is content.
    kind: Option<&'static str>,
    body: Cow<'static, str>,
    /// The rest of the request is not wanted: the connection ends.
    pub(crate) closing: bool,
}

impl Reply {
    pub(crate) fn json(status: StatusCode, body: String) -> Self {
        Self {
            status,
            kind: Some("application/json"),
            body: body.into(),
            closing: false,
        }
    }

    pub(crate) fn text(status: StatusCode, words: &'static str) -> Self {
        Self {
            status,
            kind: Some("text/plain"),
            body: words.into(),
            closing: false,
        }
    }

    /// The answer to what wants none.
    pub(crate) fn empty() -> Self {
        Self {
            status: StatusCode::OK,
            kind: None,
            body: "".into(),
            closing: false,
        }
    }

    /// An error that belongs to no request in particular.
    pub(crate) fn error(status: StatusCode, code: i32, message: &str) -> Self {
        let body = serde_json::json!({
            "jsonrpc": "2.0",
            "error": { "code": code, "message": message },
            "id": Value::Null,
        });
        Self::json(status, body.to_string())
    }

    pub(crate) fn parse_error() -> Self {
        Self::error(StatusCode::BAD_REQUEST, code::PARSE_ERROR, "parse error")
    }

    pub(crate) fn timed_out() -> Self {
        Self::error(
            StatusCode::REQUEST_TIMEOUT,
            code::TIMEOUT,
            "request timed out",
        )
        .closing()
    }

    /// The same answer, and the end of the connection.
    pub(crate) fn closing(mut self) -> Self {
        self.closing = true;
        self
    }

    /// Writes the answer as HTTP/1.1 with `headers`, which are whole lines, besides its own. What is returned is to
    /// follow: a large body, which is not copied.
    pub(crate) fn write(&self, headers: &str, date: &str, out: &mut Vec<u8>) -> &[u8] {
        let status = self.status.as_str();
        let reason = self.status.canonical_reason().unwrap_or_default();
        // Piece by piece, as formatting takes longer than a cheap call.
        let mut put = |pieces: &[&str]| {
            for piece in pieces {
                out.extend_from_slice(piece.as_bytes());
            }
        };
        put(&["HTTP/1.1 ", status, " ", reason, "\r\n", headers]);
        if let Some(kind) = self.kind {
            put(&["content-type: ", kind, "\r\n"]);
        }
        if self.closing {
            put(&["connection: close\r\n"]);
        }
        put(&["content-length: "]);
        // Nothing can fail that writes into a vector.
        let _ = write!(out, "{}", self.body.len());
        out.extend_from_slice(b"\r\ndate: ");
        out.extend_from_slice(date.as_bytes());
        out.extend_from_slice(b"\r\n\r\n");
        let body = self.body.as_bytes();
        if body.len() > COPIED {
            return body;
        }
        out.extend_from_slice(body);
        &[]
    }
}

impl From<Reply> for HttpResponse {
    fn from(reply: Reply) -> Self {
        let body = match reply.body {
            Cow::Borrowed("") => HttpBody::empty(),
            Cow::Borrowed(words) => HttpBody::from(words),
            Cow::Owned(text) => HttpBody::from(text),
        };
        let mut response = Self::new(body);
        *response.status_mut() = reply.status;
        let headers = response.headers_mut();
        if let Some(kind) = reply.kind {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        if reply.closing {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_written_whole() {
        let mut out = Vec::new();
        let reply = Reply::json(StatusCode::OK, "{}".to_owned());
        assert!(reply.write("vary: origin\r\n", "now", &mut out).is_empty());
        let written = String::from_utf8(out).unwrap();
        assert_eq!(
            written,
            "HTTP/1.1 200 OK\r\nvary: origin\r\ncontent-type: application/json\r\ncontent-length: 2\r\ndate: now\r\n\r\n{}"
        );
        let mut out = Vec::new();
        Reply::timed_out().write("", "now", &mut out);
        let written = String::from_utf8(out).unwrap();
        assert!(written.starts_with("HTTP/1.1 408 Request Timeout\r\n"));
        assert!(written.contains("\r\nconnection: close\r\n"));
        let mut out = Vec::new();
        Reply::empty().write("", "now", &mut out);
        assert_eq!(
            out,
            b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\ndate: now\r\n\r\n"
        );
    }

    #[test]
    fn a_large_body_follows_its_head() {
        let body = "1".repeat(COPIED + 1);
        let reply = Reply::json(StatusCode::OK, body.clone());
        let mut out = Vec::new();
        assert_eq!(reply.write("", "now", &mut out), body.as_bytes());
        assert!(
            out.ends_with(
                format!("content-length: {}\r\ndate: now\r\n\r\n", body.len()).as_bytes()
            )
        );
    }
}
