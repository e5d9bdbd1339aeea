//! Answers of the table's methods, whole, as text.
//!
//! What is in memory is written where the request was read: a place among the requests in work and a task that may
//! wait would take longer than that. What comes from the store or the EVM is written on the thread that did the work,
//! so that a large answer keeps no other client waiting.

use std::collections::HashMap;
use std::fmt::Write as _;

use jsonrpsee::types::{ErrorObjectOwned, Id, Request};
use jsonrpsee::{MethodResponse, ResponsePayload};

use crate::context::{Answer, Json, Shared, Weight};
use crate::error::Fault;
use crate::methods::Handler;
use crate::params::Args;

/// Characters around the result and the id of an answer, and some.
const AROUND: usize = 64;

/// The methods, by name.
pub(crate) struct Answers(HashMap<&'static str, Handler>);

impl Answers {
    /// Those of a table.
    pub(crate) fn of(table: impl Iterator<Item = (&'static str, Handler)>) -> Self {
        Self(table.collect())
    }

    /// The result of a call, if it is in memory and `admit` lets it in, else the refusal. What `admit` gives is
    /// held meanwhile. It is asked once if there is an answer, and not at all if there is none.
    pub(crate) fn at_once<T>(
        &self,
        shared: &Shared,
        request: &Request<'_>,
        admit: impl FnOnce() -> Result<T, Fault>,
    ) -> Option<Answer> {
        let handler = self.0.get(&*request.method)?;
        let args = || Args::parse(params(request));
        match handler {
            Handler::Quick(answer) => Some(admit().and_then(|_held| answer(shared, &args()?))),
            Handler::Known(known, _) => {
                // What is wrong with the question is told by the other way.
                let answer = known(shared, &args().ok()?)?;
                Some(admit().and(answer))
            }
            Handler::Read(_) | Handler::Run(_) | Handler::Waiting(_) => None,
        }
    }

    /// The work on a thread that may block, if `request` asks for such; its result is the whole answer, of at most so
    /// many bytes.
    pub(crate) fn work(
        &self,
        request: &Request<'_>,
        most: usize,
    ) -> Option<(Weight, impl FnOnce(&Shared) -> String + Send + use<>)> {
        let (weight, answer) = match *self.0.get(&*request.method)? {
            Handler::Read(answer) | Handler::Known(_, answer) => (Weight::Read, answer),
            Handler::Run(answer) => (Weight::Run, answer),
            Handler::Quick(_) | Handler::Waiting(_) => return None,
        };
        let id = request.id.clone().into_owned();
        let params = params(request).map(str::to_owned);
        let work = move |shared: &Shared| {
            let args = Args::parse(params.as_deref());
            written(&id, args.and_then(|args| answer(shared, &args)), most)
        };
        Some((weight, work))
    }
}

fn params<'a>(request: &'a Request<'_>) -> Option<&'a str> {
    request.params.as_ref().map(|params| params.get())
}

/// The answer to the request `id`, in at most so many bytes.
pub(crate) fn written(id: &Id<'_>, result: Answer, most: usize) -> String {
    let payload = match result {
        Ok(json) => match good(id, &json) {
            Some(text) if text.len() <= most => return text,
            _ => ResponsePayload::success(json),
        },
        Err(fault) => ResponsePayload::error(ErrorObjectOwned::from(fault)),
    };
    let answer = MethodResponse::response(id.clone(), payload, most);
    String::from(Box::<str>::from(answer.into_json()))
}

/// The answer to a call that succeeded, as jsonrpsee writes it.
fn good(id: &Id<'_>, result: &Json) -> Option<String> {
    let mut text = String::with_capacity(result.get().len() + AROUND);
    text.push_str(r#"{"jsonrpc":"2.0","id":"#);
    match id {
        Id::Null => text.push_str("null"),
        Id::Number(number) => write!(text, "{number}").ok()?,
        Id::Str(id) => text.push_str(&serde_json::to_string(id).ok()?),
    }
    text.push_str(r#","result":"#);
    text.push_str(result.get());
    text.push('}');
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::answer;

    #[test]
    fn answers_are_those_of_the_library() {
        let ids = [
            Id::Null,
            Id::Number(0),
            Id::Number(u64::MAX),
            Id::Str("".into()),
            Id::Str("a\"\u{0}\u{7f}\u{2028}\\".into()),
        ];
        let results = [
            answer(&"0x0"),
            answer(&vec![Some(1), None]),
            answer(&"x".repeat(300)),
            Err(Fault::invalid_params("wrong").with_data(&5)),
            Err(Fault::limit("x".repeat(300))),
        ];
        for id in &ids {
            for result in &results {
                let library = |most| {
                    let payload = match result.clone() {
                        Ok(json) => ResponsePayload::success(json),
                        Err(fault) => ResponsePayload::error(ErrorObjectOwned::from(fault)),
                    };
                    MethodResponse::response(id.clone(), payload, most)
                };
                let whole = library(10_000).as_ref().len();
                for most in [10_000, whole + 1, whole, whole - 1, 5] {
                    let text = written(id, result.clone(), most);
                    assert_eq!(text, library(most).as_ref(), "{most} of {whole}");
                }
            }
        }
    }
}
