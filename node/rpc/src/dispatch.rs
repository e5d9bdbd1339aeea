//! From the bytes of a request to the bytes of its answer, without a transport.
//!
//! HTTP and IPC come here; WebSocket connections are served by jsonrpsee, which does the same.

use std::borrow::Cow;
use std::future::{Ready, ready};
use std::sync::Arc;

use futures::future::{BoxFuture, Either};
use http::Extensions;
use jsonrpsee::ConnectionId;
use jsonrpsee::MethodResponse;
use jsonrpsee::core::JsonRawValue;
use jsonrpsee::core::middleware::{Batch, BatchEntry, BatchEntryErr, Notification, RpcServiceT};
use jsonrpsee::core::server::helpers::prepare_error;
use jsonrpsee::core::server::{
    BoundedSubscriptions, MethodCallback, MethodSink, Methods, SubscriptionState,
};
use jsonrpsee::types::error::{
    ErrorCode, reject_too_big_batch_request, reject_too_many_subscriptions,
};
use jsonrpsee::types::{ErrorObject, Id, InvalidRequest, Params, Request, TwoPointZero};
use serde::Deserialize;

use crate::subscribe::HexIds;

/// Looks methods up and calls them.
#[derive(Clone)]
pub(crate) struct Direct {
    pub(crate) methods: Methods,
    pub(crate) connection: ConnectionId,
    pub(crate) max_response_bytes: usize,
    /// How notifications reach the client, where they can.
    pub(crate) feeds: Option<Feeds>,
}

/// The subscriptions of one connection.
#[derive(Clone)]
pub(crate) struct Feeds {
    pub(crate) bound: BoundedSubscriptions,
    pub(crate) sink: MethodSink,
    pub(crate) ids: Arc<HexIds>,
}

type Answered<'a> = Either<Ready<MethodResponse>, BoxFuture<'a, MethodResponse>>;

impl Direct {
    fn find<'a>(&self, request: Request<'a>) -> Answered<'a> {
        let Request {
            id,
            method,
            params,
            extensions,
            ..
        } = request;
        let text = params.as_ref().map(|params| JsonRawValue::get(params));
        let params = Params::new(text);
        let refused =
            |id, error: ErrorObject<'_>| Either::Left(ready(MethodResponse::error(id, error)));
        let (connection, most) = (self.connection, self.max_response_bytes);
        match (self.methods.method(&method), &self.feeds) {
            (Some(MethodCallback::Sync(answer)), _) => {
                Either::Left(ready(answer(id, params, most, extensions)))
            }
            (Some(MethodCallback::Async(answer)), _) => {
                let (id, params) = (id.into_owned(), params.into_owned());
                Either::Right(answer(id, params, connection, most, extensions))
            }
            (Some(MethodCallback::Subscription(begin)), Some(feeds)) => {
                let Some(permit) = feeds.bound.acquire() else {
                    return refused(id, reject_too_many_subscriptions(feeds.bound.max()));
                };
                let state = SubscriptionState {
                    conn_id: connection,
                    id_provider: &*feeds.ids,
                    subscription_permit: permit,
                };
                Either::Right(begin(id, params, feeds.sink.clone(), state, extensions))
            }
            (Some(MethodCallback::Unsubscription(end)), Some(_)) => {
                Either::Left(ready(end(id, params, connection, most, extensions)))
            }
            _ => refused(id, ErrorCode::MethodNotFound.into()),
        }
    }
}

impl RpcServiceT for Direct {
    type MethodResponse = MethodResponse;
    type NotificationResponse = MethodResponse;
    type BatchResponse = MethodResponse;

    fn call<'a>(&self, request: Request<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        self.find(request)
    }

    fn batch<'a>(&self, _: Batch<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        // `Polite` takes batches apart.
        ready(MethodResponse::error(
            Id::Null,
            ErrorObject::from(ErrorCode::InternalError),
        ))
    }

    fn notification<'a>(
        &self,
        _: Notification<'a>,
    ) -> impl Future<Output = MethodResponse> + Send + 'a {
        ready(MethodResponse::notification())
    }
}

/// Answers one request or one batch of at most `max_batch`; an empty answer where none is wanted.
pub(crate) async fn answer<S>(
    service: &S,
    body: &[u8],
    max_batch: usize,
    extensions: Extensions,
) -> MethodResponse
where
    S: RpcServiceT<
            MethodResponse = MethodResponse,
            NotificationResponse = MethodResponse,
            BatchResponse = MethodResponse,
        >,
{
    if body.trim_ascii_start().first() != Some(&b'[') {
        return match read(body, extensions) {
            Ok(BatchEntry::Call(request)) => service.call(request).await,
            Ok(BatchEntry::Notification(note)) => service.notification(note).await,
            Err(_) => {
                let (id, code) = prepare_error(body);
                MethodResponse::error(id, ErrorObject::from(code))
            }
        };
    }
    let Ok(entries) = serde_json::from_slice::<Vec<&JsonRawValue>>(body) else {
        return MethodResponse::error(Id::Null, ErrorObject::from(ErrorCode::ParseError));
    };
    if entries.len() > max_batch {
        return MethodResponse::error(Id::Null, reject_too_big_batch_request(max_batch));
    }
    let entries: Vec<_> = entries
        .into_iter()
        .map(|entry| {
            let entry = entry.get().as_bytes();
            read(entry, extensions.clone()).map_err(|_| {
                let id = serde_json::from_slice::<InvalidRequest<'_>>(entry);
                let id = id.map_or(Id::Null, |invalid| invalid.id);
                BatchEntryErr::new(id, ErrorCode::InvalidRequest.into())
            })
        })
        .collect();
    service.batch(Batch::from(entries)).await
}

fn read<'a>(bytes: &'a [u8], extensions: Extensions) -> Result<BatchEntry<'a>, serde_json::Error> {
    if let Some(mut request) = request(bytes) {
        request.extensions = extensions;
        return Ok(BatchEntry::Call(request));
    }
    let mut note: Notification<'a> = serde_json::from_slice(bytes)?;
    *note.extensions_mut() = extensions;
    Ok(BatchEntry::Notification(note))
}

/// A request as it travels.
#[derive(Deserialize)]
struct Members<'a> {
    #[serde(rename = "jsonrpc")]
    _version: TwoPointZero,
    #[serde(borrow)]
    id: &'a JsonRawValue,
    #[serde(borrow)]
    method: Cow<'a, str>,
    #[serde(borrow, default)]
    params: Option<&'a JsonRawValue>,
}

/// The request that `bytes` are, without extensions; `None` if they are none. What is beside its members
/// is not looked at.
pub(crate) fn request(bytes: &[u8]) -> Option<Request<'_>> {
    let members: Members<'_> = serde_json::from_slice(bytes).ok()?;
    Some(Request {
        jsonrpc: TwoPointZero,
        id: id(members.id)?,
        method: members.method,
        params: members.params.map(Cow::Borrowed),
        extensions: Extensions::new(),
    })
}

/// The id that a JSON value is: null, a number without sign or fraction, a string. Told by its first
/// byte: serde tries the kinds one after another and makes an error of each that it is not.
pub(crate) fn id(value: &JsonRawValue) -> Option<Id<'_>> {
    let text = value.get();
    match text.as_bytes().first()? {
        b'n' => Some(Id::Null),
        b'"' => serde_json::from_str(text)
            .map(Cow::Borrowed)
            .or_else(|_| serde_json::from_str(text).map(Cow::Owned))
            .ok()
            .map(Id::Str),
        b'0'..=b'9' => text.parse().ok().map(Id::Number),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What jsonrpsee's own types read is read, in the same way, and nothing else.
    #[test]
    fn requests_are_those_of_the_library() {
        let ids = [
            "0",
            "7",
            "18446744073709551615",
            "18446744073709551616",
            "-1",
            "-0",
            "1.0",
            "1e3",
            "null",
            "true",
            "\"\"",
            "\"a\"",
            "\"\\u0041\\n\"",
            "\"\\ud800\"",
            "[1]",
            "{}",
        ];
        let mut taken = 0;
        for one in ids {
            for text in [
                format!(r#"{{"jsonrpc":"2.0","id":{one},"method":"m"}}"#),
                format!(
                    r#"{{"method":"a\u0062","params":[1, {{}}],"x":1,"id":{one},"jsonrpc":"2.0"}}"#
                ),
                format!(r#" {{"jsonrpc":"2.0","id":{one},"method":"m","params":null}} "#),
                format!(r#"{{"jsonrpc":"2.0","id":{one},"method":"m","params":5}}"#),
                format!(r#"{{"jsonrpc":"1.0","id":{one},"method":"m"}}"#),
                format!(r#"{{"jsonrpc":"2.0","id":{one},"method":5}}"#),
                format!(r#"{{"jsonrpc":"2.0","id":{one},"id":{one},"method":"m"}}"#),
                format!(r#"{{"jsonrpc":"2.0","id":{one},"method":"m"}} 1"#),
                format!(r#"{{"jsonrpc":"2.0","ident":{one},"method":"m"}}"#),
                format!(r#"{{"id":{one},"method":"m"}}"#),
            ] {
                let theirs = serde_json::from_str::<Request<'_>>(&text).ok();
                let ours = request(text.as_bytes());
                let parts = |request: Request<'_>| {
                    let params = request.params.map(|params| params.get().to_owned());
                    (request.id.into_owned(), request.method.into_owned(), params)
                };
                taken += usize::from(ours.is_some());
                assert_eq!(ours.map(parts), theirs.map(parts), "{text}");
            }
        }
        // Seven good ids in four good forms.
        assert_eq!(taken, 28);
    }
}
