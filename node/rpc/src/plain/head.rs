//! Which requests are plain.

use std::mem::MaybeUninit;

use httparse::{Request, Status};

use crate::config::Cors;
use crate::gate::{self, Rules};

/// Headers of a plain request at most.
const MOST_HEADERS: usize = 32;
/// Bytes of a plain request's body at most.
const MOST_BODY: u32 = 256 * 1024;

/// What the first bytes of a request are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Head {
    /// Not yet the whole of a head.
    Partial,
    /// The head of a plain request that is let in.
    Plain(Plain),
    /// Something else, or something that is to be refused.
    Other,
}

/// A plain request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Plain {
    /// Where its head ends and its body begins.
    pub(super) head: usize,
    /// Where it ends.
    pub(super) whole: usize,
    /// Whether it is the client's last on this connection.
    pub(super) last: bool,
}

/// Reads the heads of a connection's requests. Most clients send the same one again and again; it is known by its
/// bytes.
#[derive(Debug, Default)]
pub(super) struct Heads {
    /// The last plain one.
    known: Vec<u8>,
    plain: Option<Plain>,
}

impl Heads {
    /// The same as [`read`], under the same rules as always.
    pub(super) fn read(&mut self, bytes: &[u8], rules: &Rules) -> Head {
        if let Some(plain) = self.plain
            && bytes.starts_with(&self.known)
        {
            return Head::Plain(plain);
        }
        let head = read(bytes, rules);
        if let Head::Plain(plain) = head {
            self.known.clear();
            self.known
                .extend_from_slice(bytes.get(..plain.head).unwrap_or_default());
            self.plain = Some(plain);
        }
        head
    }
}

/// Reads the head that `bytes` begin with.
///
/// What is of HTTP but not needed to ask a question makes a request `Other`: other methods, other versions, bodies in
/// chunks or longer than most, upgrades, expectations. So does what is not let in: that is refused in one place.
fn read(bytes: &[u8], rules: &Rules) -> Head {
    let mut headers = [const { MaybeUninit::uninit() }; MOST_HEADERS];
    let mut request = Request::new(&mut []);
    let length = match request.parse_with_uninit_headers(bytes, &mut headers) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) => return Head::Partial,
        Err(_) => return Head::Other,
    };
    let path = request.path.unwrap_or_default();
    if request.method != Some("POST") || request.version != Some(1) || !path.starts_with('/') {
        return Head::Other;
    }
    let (mut host, mut kind, mut body) = (None, None, None);
    let mut last = false;
    for header in &*request.headers {
        let value = header.value;
        // Short ones first, which tells most apart.
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        let twice = match header.name.len() {
            2 if is("te") => return Head::Other,
            4 if is("host") => host.replace(value).is_some(),
            6 if is("expect") => return Head::Other,
            6 if is("origin") && matches!(rules.cors, Cors::Origins(_)) => return Head::Other,
            7 if is("upgrade") => return Head::Other,
            10 if is("connection") => {
                last |= value.eq_ignore_ascii_case(b"close");
                if !last && !value.eq_ignore_ascii_case(b"keep-alive") {
                    return Head::Other;
                }
                false
            }
            12 if is("content-type") => kind.replace(value).is_some(),
            14 if is("content-length") => body.replace(value).is_some(),
            17 if is("transfer-encoding") => return Head::Other,
            _ => false,
        };
        if twice {
            return Head::Other;
        }
    }
    let most = rules.max_request_bytes.min(MOST_BODY);
    let body = body.and_then(decimal).filter(|length| *length <= most);
    let (Some(body), true) = (body, kind.is_some_and(gate::is_json)) else {
        return Head::Other;
    };
    let host = host.map(std::str::from_utf8).transpose();
    let (Ok(body), Ok(true)) = (
        usize::try_from(body),
        host.map(|host| rules.admits_host(host)),
    ) else {
        return Head::Other;
    };
    Head::Plain(Plain {
        head: length,
        whole: length + body,
        last,
    })
}

/// A number in digits and nothing else.
fn decimal(text: &[u8]) -> Option<u32> {
    if !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn rules(cors: Cors) -> Rules {
        Rules {
            hosts: vec!["localhost".to_owned()],
            cors,
            timeout: Duration::from_secs(1),
            max_request_bytes: 1000,
            max_batch: 100,
            plain_headers: "",
        }
    }

    fn with(line: &str, headers: &[&str]) -> Vec<u8> {
        let mut head = format!("{line}\r\n");
        for header in headers {
            head.push_str(header);
            head.push_str("\r\n");
        }
        head.push_str("\r\n");
        head.into_bytes()
    }

    /// The whole head of a request with [`NEEDED`].
    fn plain(head: &[u8], last: bool) -> Head {
        Head::Plain(Plain {
            head: head.len(),
            whole: head.len() + 1000,
            last,
        })
    }

    const LINE: &str = "POST / HTTP/1.1";
    const NEEDED: [&str; 3] = [
        "Host: 127.0.0.1:8545",
        "Content-Type: application/json",
        "Content-Length: 1000",
    ];

    #[test]
    fn what_clients_send_is_plain() {
        let rules = rules(Cors::Any);
        for more in [
            &[][..],
            &["Connection: Keep-Alive", "User-Agent: x", "Accept: */*"],
            &["origin: https://a.example", "accept-encoding: gzip"],
        ] {
            let head = with(LINE, &[&NEEDED, more].concat());
            assert_eq!(read(&head, &rules), plain(&head, false));
            let body = [&head[..], b"{}"].concat();
            assert_eq!(read(&body, &rules), plain(&head, false));
            for end in 0..head.len() {
                assert_eq!(read(&head[..end], &rules), Head::Partial, "{end}");
            }
        }
        let [_, kind, length] = NEEDED;
        let head = with("POST /any?x=1 HTTP/1.1", &[kind, length]);
        assert_eq!(read(&head, &rules), plain(&head, false));
        let head = with(LINE, &[&NEEDED[..], &["connection: Close"]].concat());
        assert_eq!(read(&head, &rules), plain(&head, true));
    }

    #[test]
    fn a_head_that_comes_again_is_the_same() {
        let rules = rules(Cors::Any);
        let long = with(LINE, &NEEDED);
        let short = with(
            LINE,
            &["content-type: application/json", "content-length: 9"],
        );
        let other = with("GET / HTTP/1.1", &NEEDED);
        let last = with(LINE, &[&NEEDED[..], &["connection: close"]].concat());
        let behind = [&long[..], b"{}", &other].concat();
        let mut heads = Heads::default();
        let all = [
            &long, &long, &behind, &other, &long, &short, &short, &last, &last, &long, &short,
            &other, &other,
        ];
        for bytes in all {
            for end in (0..=bytes.len()).rev().chain(0..=bytes.len()) {
                let bytes = &bytes[..end];
                assert_eq!(heads.read(bytes, &rules), read(bytes, &rules), "{end}");
            }
        }
    }

    #[test]
    fn everything_else_is_not() {
        let any = rules(Cors::Any);
        for line in [
            "GET / HTTP/1.1",
            "OPTIONS / HTTP/1.1",
            "POST / HTTP/1.0",
            "POST http://localhost/ HTTP/1.1",
            "POST * HTTP/1.1",
            "PRI * HTTP/2.0",
            "post / HTTP/1.1",
            "POST /",
            "\u{1}\u{2}",
        ] {
            assert_eq!(read(&with(line, &NEEDED), &any), Head::Other, "{line}");
        }
        for more in [
            "Transfer-Encoding: chunked",
            "transfer-encoding: identity",
            "Expect: 100-continue",
            "Upgrade: websocket",
            "Connection: close, te",
            "Connection: keep-alive, upgrade",
            "TE: trailers",
            "Content-Length: 1000",
            "Content-Length: 5",
            "Host: localhost",
            "Content-Type: application/json",
            " folded: line",
            "no colon",
        ] {
            let head = with(LINE, &[&NEEDED[..], &[more]].concat());
            assert_eq!(read(&head, &any), Head::Other, "{more}");
        }
        for (index, others) in [
            &["Host: evil.example", "Host: ", "Host: \u{e9}"][..],
            &["Content-Type: text/plain", "Content-Type:", "x: y"],
            &[
                "Content-Length: 1001",
                "Content-Length: +5",
                "Content-Length: -5",
                "Content-Length: 5, 5",
                "Content-Length: 0x5",
                "Content-Length:",
                "Content-Length: 99999999999999999999",
                "x: y",
            ],
        ]
        .into_iter()
        .enumerate()
        {
            for other in others {
                let mut headers = NEEDED;
                headers[index] = other;
                assert_eq!(read(&with(LINE, &headers), &any), Head::Other, "{other}");
            }
        }
        let many: Vec<_> = std::iter::repeat_n("x: y", MOST_HEADERS).collect();
        let head = with(LINE, &[&NEEDED[..], &many].concat());
        assert_eq!(read(&head, &any), Head::Other);
        // Which origins may read the answer is known elsewhere.
        let some = rules(Cors::Origins(vec!["https://a.example".to_owned()]));
        assert!(matches!(read(&with(LINE, &NEEDED), &some), Head::Plain(..)));
        let head = with(
            LINE,
            &[&NEEDED[..], &["Origin: https://a.example"]].concat(),
        );
        assert_eq!(read(&head, &some), Head::Other);
    }
}
