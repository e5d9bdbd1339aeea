//! The RPC layer in front of the methods: errors in the words tools know.

use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy_primitives::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use jsonrpsee::MethodResponse;
use jsonrpsee::core::middleware::{Batch, BatchEntry, Notification, RpcServiceT};
use jsonrpsee::core::server::{BatchResponseBuilder, Methods};
use jsonrpsee::types::{ErrorObjectOwned, Request};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::answers::written;
use crate::clients::{Guest, Work};
use crate::context::Shared;
use crate::error::{Fault, code};
use crate::gate::Origin;
use crate::subscribe;

/// Characters of an unknown method's name that are repeated in the answer.
const LONGEST_NAME: usize = 100;

/// A client can learn a subscription's id, and use it to unsubscribe, before the server behind has
/// noted the subscription. An id that is not known is therefore looked for once more after this.
const SUBSCRIPTION_SETTLES: Duration = Duration::from_millis(20);

/// Answers requests for methods that are not there, or not there over HTTP, and passes the rest on.
#[derive(Clone)]
pub(crate) struct Polite<S> {
    pub(crate) inner: S,
    pub(crate) methods: Methods,
    pub(crate) max_response_bytes: usize,
    /// Requests that may still come into work on this connection.
    pub(crate) in_flight: Arc<Semaphore>,
    pub(crate) shared: Arc<Shared>,
    /// The client, where it is bounded.
    pub(crate) guest: Option<Arc<Guest>>,
}

impl<S> Polite<S> {
    /// The same bounds around another service.
    pub(crate) fn around<T>(&self, inner: T) -> Polite<T> {
        Polite {
            inner,
            methods: self.methods.clone(),
            max_response_bytes: self.max_response_bytes,
            in_flight: Arc::clone(&self.in_flight),
            shared: Arc::clone(&self.shared),
            guest: self.guest.clone(),
        }
    }

    /// The refusal of `request`, if it is to be refused.
    fn refusal(&self, request: &Request<'_>) -> Option<Fault> {
        let name = request.method_name();
        if self.methods.method(name).is_none() {
            let name: String = name.chars().take(LONGEST_NAME).collect();
            let text = format!("the method {name} does not exist/is not available");
            return Some(Fault::new(code::METHOD_NOT_FOUND, text));
        }
        let subscription = subscribe::method_names().any(|of_one| of_one == name);
        let notifies = request
            .extensions()
            .get::<Origin>()
            .is_some_and(|origin| origin.notifies);
        if subscription && !notifies {
            return Some(Fault::new(
                code::METHOD_NOT_FOUND,
                "notifications not supported",
            ));
        }
        None
    }
}

fn busy() -> Fault {
    Fault::limit("too many requests at a time on this connection; wait for answers")
}

/// What a request in work holds: a place of its connection, and one of its client.
type Place = (OwnedSemaphorePermit, Option<Work>);

impl<S> Polite<S> {
    /// Takes a request into work, if connection and client may have another one.
    fn admit(&self) -> Result<Place, Fault> {
        let Ok(place) = Arc::clone(&self.in_flight).try_acquire_owned() else {
            return Err(busy());
        };
        Ok((place, self.count()?))
    }

    /// The same for one that will have been answered before the connection can have another one.
    fn admit_at_once(&self) -> Result<Option<Work>, Fault> {
        if self.in_flight.available_permits() == 0 {
            return Err(busy());
        }
        self.count()
    }

    /// Counts a request of the client, if it is bounded and may have another one.
    fn count(&self) -> Result<Option<Work>, Fault> {
        let work = self.guest.as_ref().map(|guest| guest.admit(Instant::now()));
        work.transpose()
            .map_err(|refusal| Fault::limit(refusal.to_string()))
    }

    /// The whole answer to `request`, if it is in memory.
    pub(crate) fn at_once(&self, request: &Request<'_>) -> Option<String> {
        let answers = &self.shared.answers;
        let result = answers.at_once(&self.shared, request, || self.admit_at_once())?;
        Some(written(&request.id, result, self.max_response_bytes))
    }

    /// The whole answer to `request`, if it takes the store or the EVM.
    pub(crate) async fn worked_out(&self, request: &Request<'_>) -> Option<String> {
        let most = self.max_response_bytes;
        let (weight, work) = self.shared.answers.work(request, most)?;
        let text = match self.admit() {
            Ok(_place) => {
                let work = move |shared: &Shared| Ok(work(shared));
                self.shared.blocking(weight, work).await
            }
            Err(fault) => Err(fault),
        };
        Some(text.unwrap_or_else(|fault| written(&request.id, Err(fault), most)))
    }
}

/// The transactions that a batch hands in.
fn raw_transactions(batch: &Batch<'_>) -> Vec<Bytes> {
    batch
        .iter()
        .filter_map(|entry| match entry {
            Ok(BatchEntry::Call(request)) if request.method_name() == "eth_sendRawTransaction" => {
                let [raw]: [Bytes; 1] = request.params().parse().ok()?;
                Some(raw)
            }
            _ => None,
        })
        .collect()
}

impl<S> RpcServiceT for Polite<S>
where
    S: RpcServiceT<
            MethodResponse = MethodResponse,
            NotificationResponse = MethodResponse,
            BatchResponse = MethodResponse,
        > + Clone
        + Send
        + Sync
        + 'static,
{
    type MethodResponse = MethodResponse;
    type NotificationResponse = MethodResponse;
    type BatchResponse = MethodResponse;

    fn call<'a>(&self, request: Request<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let admitted = self.refusal(&request).map_or_else(|| self.admit(), Err);
        match admitted {
            Err(fault) => {
                let response = MethodResponse::error(request.id(), ErrorObjectOwned::from(fault));
                std::future::ready(response).left_future()
            }
            Ok(place) => {
                let again = subscribe::ends_one(request.method_name())
                    .then(|| (self.inner.clone(), request.clone()));
                let answer = self.inner.call(request);
                let held = async move {
                    let response = answer.await;
                    let response = match again {
                        Some((inner, request))
                            if response.as_json().get().contains(r#""result":false"#) =>
                        {
                            tokio::time::sleep(SUBSCRIPTION_SETTLES).await;
                            inner.call(request).await
                        }
                        _ => response,
                    };
                    drop(place);
                    response
                };
                held.right_future()
            }
        }
    }

    fn batch<'a>(&self, batch: Batch<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let service = self.clone();
        let answer: BoxFuture<'a, MethodResponse> = async move {
            let transactions = raw_transactions(&batch);
            if transactions.len() > 1 {
                service.shared.foresee(&transactions).await;
            }
            let mut answers = BatchResponseBuilder::new_with_limit(service.max_response_bytes);
            let mut notified = false;
            for entry in batch {
                let response = match entry {
                    Ok(BatchEntry::Call(request)) => service.call(request).await,
                    Ok(BatchEntry::Notification(notification)) => {
                        notified = true;
                        service.notification(notification).await;
                        continue;
                    }
                    Err(error) => {
                        let (error, id) = error.into_parts();
                        MethodResponse::error(id, error)
                    }
                };
                if let Err(too_large) = answers.append(response) {
                    return too_large;
                }
            }
            if answers.is_empty() && notified {
                MethodResponse::notification()
            } else {
                MethodResponse::from_batch(answers.finish())
            }
        }
        .boxed();
        answer
    }

    fn notification<'a>(
        &self,
        notification: Notification<'a>,
    ) -> impl Future<Output = MethodResponse> + Send + 'a {
        self.inner.notification(notification)
    }
}
