//! The HTTP layer in front of the RPC server: who may come in, with how much, and for how long.
//!
//! It reads the body itself, so that too much of it is refused in every encoding, and so that what
//! is no JSON (−32700) and what is JSON but no request (−32600) are told apart exactly.

use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use alloy_primitives::bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Extensions, HeaderMap, HeaderValue, Method, StatusCode, header};
use jsonrpsee::core::http_helpers::{HttpError, read_body};
use jsonrpsee::core::middleware::RpcServiceT as _;
use jsonrpsee::core::{BoxError, JsonRawValue};
use jsonrpsee::server::{HttpRequest, HttpResponse};
use jsonrpsee::types::Request;
use serde::Deserialize;
use tower::{Layer, Service};

use crate::config::Cors;
use crate::connection::Closer;
use crate::dispatch::{self, Direct};
use crate::error::code;
use crate::polite::Polite;
use crate::reply::Reply;

/// How a request came; methods find it in the request's extensions.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    /// Whether notifications can reach the client, so that subscriptions are possible.
    pub(crate) notifies: bool,
    /// Closes the connection.
    pub(crate) closer: Closer,
}

/// Rules of the gate, shared by all connections.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) hosts: Vec<String>,
    pub(crate) cors: Cors,
    pub(crate) timeout: Duration,
    pub(crate) max_request_bytes: u32,
    pub(crate) max_batch: usize,
    /// What [`crate::plain`] adds to every answer, as whole lines: what the layer for origins adds for the others.
    pub(crate) plain_headers: &'static str,
}

impl Rules {
    /// Whether the `Host` header names this node: an IP address, an allowed name, or nothing at
    /// all (no browser leaves it out). Against pages that let their own name point to this node.
    pub(crate) fn admits_host(&self, host: Option<&str>) -> bool {
        let Some(host) = host else { return true };
        let name = host_name(host);
        if name.parse::<IpAddr>().is_ok() {
            return true;
        }
        self.hosts
            .iter()
            .any(|allowed| allowed == "*" || allowed.eq_ignore_ascii_case(name))
    }
}

/// The host of `host:port`, without the brackets of an IPv6 address.
fn host_name(host: &str) -> &str {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split_once(']').map_or(rest, |(name, _)| name);
    }
    host.rsplit_once(':').map_or(host, |(name, _)| name)
}

/// Puts a [`Gate`] before a service.
pub(crate) struct GateLayer {
    pub(crate) rules: Arc<Rules>,
    pub(crate) closer: Closer,
    /// Answers what is posted.
    pub(crate) service: Arc<Polite<Direct>>,
}

impl<S> Layer<S> for GateLayer {
    type Service = Gate<S>;

    fn layer(&self, inner: S) -> Gate<S> {
        Gate(Arc::new(Parts {
            inner,
            rules: Arc::clone(&self.rules),
            closer: self.closer.clone(),
            service: Arc::clone(&self.service),
        }))
    }
}

/// Checks host and origin, answers what is posted within its time, and passes WebSockets on. Cloned for
/// each request, so it is no more than a reference.
pub(crate) struct Gate<S>(Arc<Parts<S>>);

struct Parts<S> {
    inner: S,
    rules: Arc<Rules>,
    closer: Closer,
    service: Arc<Polite<Direct>>,
}

impl<S> Clone for Gate<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S, B> Service<HttpRequest<B>> for Gate<S>
where
    S: Service<HttpRequest<B>, Response = HttpResponse, Error = BoxError>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = HttpResponse;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: HttpRequest<B>) -> Self::Future {
        let parts = Arc::clone(&self.0);
        let rules = &parts.rules;
        let header_text = |name| {
            request
                .headers()
                .get(name)
                .and_then(|value: &HeaderValue| value.to_str().ok())
        };
        let host = header_text(header::HOST).or_else(|| {
            request
                .uri()
                .authority()
                .map(|authority| authority.as_str())
        });
        if !rules.admits_host(host) {
            return refuse(StatusCode::FORBIDDEN, "invalid host specified\n");
        }
        let websocket = header_text(header::UPGRADE)
            .is_some_and(|value| value.eq_ignore_ascii_case("websocket"));
        if websocket && header_text(header::ORIGIN).is_some_and(|origin| !rules.cors.admits(origin))
        {
            return refuse(StatusCode::FORBIDDEN, "origin not allowed\n");
        }
        if request.method() != Method::POST {
            request.extensions_mut().insert(Origin {
                notifies: websocket,
                closer: parts.closer.clone(),
            });
            let mut inner = parts.inner.clone();
            return async move {
                let answer = async {
                    poll_fn(|context| inner.poll_ready(context)).await?;
                    inner.call(request).await
                };
                tokio::time::timeout(parts.rules.timeout, answer)
                    .await
                    .unwrap_or_else(|_| Ok(Reply::timed_out().into()))
            }
            .boxed();
        }
        async move {
            let rules = &*parts.rules;
            let answer = posted(request, rules, &parts.service);
            let answer = tokio::time::timeout(rules.timeout, answer).await;
            Ok(answer.unwrap_or_else(|_| Reply::timed_out()).into())
        }
        .boxed()
    }
}

/// The answer to a POST.
async fn posted<B>(request: HttpRequest<B>, rules: &Rules, service: &Polite<Direct>) -> Reply
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let (parts, body) = request.into_parts();
    let kind = parts.headers.get(header::CONTENT_TYPE);
    if !kind.is_some_and(|kind| is_json(kind.as_bytes())) {
        return Reply::text(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "the content type of a request is application/json\n",
        );
    }
    match whole_body(&parts.headers, body, rules.max_request_bytes).await {
        Ok(body) => answer(&body, rules, service).await,
        Err(reply) => reply,
    }
}

/// The answer to a body. What comes this way has no [`Origin`]: nothing can be told later.
pub(crate) async fn answer(body: &[u8], rules: &Rules, service: &Polite<Direct>) -> Reply {
    let answer = match whole_request(body) {
        Some(request) => {
            let text = match service.at_once(&request) {
                Some(text) => Some(text),
                None => service.worked_out(&request).await,
            };
            match text {
                Some(text) => return Reply::json(StatusCode::OK, text),
                None => service.call(request).await,
            }
        }
        None => match check_shape(body) {
            Shape::Request => {
                dispatch::answer(service, body, rules.max_batch, Extensions::new()).await
            }
            Shape::Notification => return Reply::empty(),
            Shape::NoJson => return Reply::parse_error(),
            Shape::NoRequest => {
                let words = "invalid request";
                return Reply::error(StatusCode::OK, code::INVALID_REQUEST, words);
            }
        },
    };
    if answer.is_notification() {
        return Reply::empty();
    }
    let body = String::from(Box::<str>::from(answer.into_json()));
    Reply::json(StatusCode::OK, body)
}

/// Whether a content type is one of those JSON-RPC has over HTTP.
pub(crate) fn is_json(kind: &[u8]) -> bool {
    let Ok(kind) = std::str::from_utf8(kind) else {
        return false;
    };
    let (kind, parameter) = kind.split_once(';').unwrap_or((kind, ""));
    ["application/json", "application/json-rpc"]
        .iter()
        .any(|known| kind.trim_end().eq_ignore_ascii_case(known))
        && ["", "charset=utf-8"]
            .iter()
            .any(|known| parameter.trim().eq_ignore_ascii_case(known))
}

/// The request that a body is, as almost every body is one.
fn whole_request(body: &[u8]) -> Option<Request<'_>> {
    // JSON is text, beside the members that are looked at too.
    std::str::from_utf8(body).ok()?;
    dispatch::request(body)
}

/// The body of a request, else the answer to it.
async fn whole_body<B>(headers: &HeaderMap, body: B, most: u32) -> Result<Vec<u8>, Reply>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let too_large = || {
        let text = format!("request body is larger than {most} bytes");
        Reply::error(StatusCode::PAYLOAD_TOO_LARGE, code::INVALID_REQUEST, &text).closing()
    };
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > u64::from(most)) {
        return Err(too_large());
    }
    match read_body(headers, body, most).await {
        Ok((body, _)) => Ok(body),
        Err(HttpError::TooLarge) => Err(too_large()),
        Err(HttpError::Malformed) => Err(Reply::parse_error()),
        // The limit in a body without a length shows as an error of the stream.
        Err(HttpError::Stream(error)) if error.to_string().contains("length limit") => {
            Err(too_large())
        }
        Err(HttpError::Stream(error)) => {
            tracing::debug!(error, "a request broke off");
            Err(Reply::parse_error().closing())
        }
    }
}

/// What a body is.
#[derive(Debug, PartialEq, Eq)]
enum Shape {
    /// A request or a batch; the server behind looks closer and can name the id in an error.
    Request,
    /// A request that wants no answer. No method of this node does anything without one.
    Notification,
    /// Not JSON.
    NoJson,
    /// JSON, but no request, and without an id that an answer could carry.
    NoRequest,
}

/// The members of a request that decide whether it can be answered by id.
#[derive(Deserialize)]
struct Members<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a JsonRawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    method: Option<&'a JsonRawValue>,
}

/// A member that is there, even if it is `null`.
fn present<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<&'de JsonRawValue>, D::Error> {
    Deserialize::deserialize(deserializer).map(Some)
}

fn check_shape(body: &[u8]) -> Shape {
    if !matches!(body.trim_ascii_start().first(), Some(b'{' | b'[')) {
        return Shape::NoJson;
    }
    let Ok(value) = serde_json::from_slice::<&JsonRawValue>(body) else {
        return Shape::NoJson;
    };
    if value.get().starts_with('[') {
        return Shape::Request;
    }
    let Ok(members) = serde_json::from_str::<Members<'_>>(value.get()) else {
        return Shape::NoRequest;
    };
    match (members.id, members.method) {
        (Some(id), _) if dispatch::id(id).is_some() => Shape::Request,
        (None, Some(_)) => Shape::Notification,
        (Some(_), _) | (None, None) => Shape::NoRequest,
    }
}

fn refuse(
    status: StatusCode,
    words: &'static str,
) -> BoxFuture<'static, Result<HttpResponse, BoxError>> {
    let response = Reply::text(status, words).into();
    async move { Ok(response) }.boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(hosts: &[&str]) -> Rules {
        Rules {
            hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
            cors: Cors::Any,
            timeout: Duration::from_secs(1),
            max_request_bytes: 1000,
            max_batch: 100,
            plain_headers: "",
        }
    }

    #[test]
    fn addresses_and_allowed_names_pass() {
        let rules = rules(&["localhost", "node.example"]);
        for host in [
            "localhost",
            "LOCALHOST:8545",
            "127.0.0.1:8545",
            "10.1.2.3",
            "[::1]:8545",
            "[::1]",
            "node.example:1",
        ] {
            assert!(rules.admits_host(Some(host)), "{host}");
        }
        assert!(rules.admits_host(None));
        for host in [
            "evil.example",
            "localhost.evil.example:8545",
            "",
            "127.0.0.1.evil.example",
        ] {
            assert!(!rules.admits_host(Some(host)), "{host}");
        }
    }

    #[test]
    fn content_types_of_json_rpc() {
        let is = |kind: &str| is_json(kind.as_bytes());
        for kind in [
            "application/json",
            "Application/JSON; charset=UTF-8",
            "application/json;charset=utf-8",
            "application/json-rpc",
        ] {
            assert!(is(kind), "{kind}");
        }
        for kind in [
            "text/plain",
            "application/jsonp",
            "application/json; charset=latin1",
            "",
        ] {
            assert!(!is(kind), "{kind}");
        }
        assert!(!is_json(b"application/json\xff"));
    }

    #[test]
    fn a_star_lets_every_name_in() {
        assert!(rules(&["*"]).admits_host(Some("any.example")));
    }

    #[test]
    fn bodies_are_told_apart() {
        for body in [
            r#"{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}"#,
            r#"{"jsonrpc":"2.0","id":null,"method":"eth_chainId"}"#,
            r#"{"jsonrpc":"1.0","id":"a","method":"eth_chainId"}"#,
            "[]",
            "[5]",
        ] {
            assert_eq!(check_shape(body.as_bytes()), Shape::Request, "{body}");
        }
        for body in ["{}", r#"{"id":{},"method":"eth_chainId"}"#, r#"{"id":1.5}"#] {
            assert_eq!(check_shape(body.as_bytes()), Shape::NoRequest, "{body}");
        }
        let invalid_text: &[u8] = b"{\"id\":1,\"method\":\"\xff\"}";
        for body in [
            b"{".as_slice(),
            b"{'a':1}",
            b"{\"a\":1,}",
            b"[1",
            b"",
            invalid_text,
        ] {
            assert_eq!(
                check_shape(body),
                Shape::NoJson,
                "{}",
                String::from_utf8_lossy(body)
            );
        }
        // What is no text is no JSON, even beside what is looked at.
        let whole = br#"{"jsonrpc":"2.0","id":1,"method":"eth_chainId","beside":"x"}"#;
        assert!(whole_request(whole).is_some());
        let beside: Vec<_> = whole
            .iter()
            .map(|byte| if *byte == b'x' { 0xff } else { *byte })
            .collect();
        assert!(whole_request(&beside).is_none());
        assert_eq!(check_shape(&beside), Shape::NoJson);
        let note = br#"{"jsonrpc":"2.0","method":"note"}"#;
        assert_eq!(check_shape(note), Shape::Notification);
        let deep = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
        assert_eq!(check_shape(&deep), Shape::Request);
    }
}
