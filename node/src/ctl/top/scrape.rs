//! Reads the metrics page of a running process.

use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use hyper::body::Bytes;
use hyper::header::HOST;
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Largest page that is read.
const MOST_BYTES: usize = 8 << 20;

/// Longest time for one page.
const LIMIT: Duration = Duration::from_secs(10);

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub(in crate::ctl) enum ScrapeError {
    #[error(
        "{url:?} is no address of a metrics page; use one such as http://{}{}",
        crate::metrics::DEFAULT_ADDRESS,
        crate::metrics::PATH
    )]
    Url { url: String },
    #[error(
        "nobody listens at {authority}: {error}. Start `parsctl engine bench` in another terminal, or give the address of a running process with --url"
    )]
    Nobody {
        authority: String,
        error: std::io::Error,
    },
    #[error("{authority} gave no page within {} s", LIMIT.as_secs())]
    Late { authority: String },
    #[error("{authority} does not speak HTTP: {error}")]
    Http {
        authority: String,
        error: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error(
        "{authority} answers {status} for {path}; the page is usually at {}",
        crate::metrics::PATH
    )]
    Status {
        authority: String,
        path: String,
        status: StatusCode,
    },
}

/// Where a page is.
#[derive(Clone, Debug)]
pub(super) struct Target {
    authority: String,
    path: String,
}

impl Target {
    /// Reads `http://host:port/path`; scheme and path may be left out.
    pub(super) fn parse(url: &str) -> Result<Self, ScrapeError> {
        let wrong = || ScrapeError::Url {
            url: url.to_owned(),
        };
        let full = if url.contains("://") {
            url.to_owned()
        } else {
            format!("http://{url}")
        };
        let uri: Uri = full.parse().map_err(|_| wrong())?;
        let authority = uri.authority().ok_or_else(wrong)?;
        if uri.scheme_str() != Some("http") || authority.host().is_empty() {
            return Err(wrong());
        }
        let port = authority.port_u16().unwrap_or(80);
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        Ok(Self {
            authority: format!("{}:{port}", authority.host()),
            path: if path == "/" {
                crate::metrics::PATH.to_owned()
            } else {
                path.to_owned()
            },
        })
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}{}", self.authority, self.path)
    }

    /// The page as it is now.
    pub(super) async fn page(&self) -> Result<String, ScrapeError> {
        let late = || ScrapeError::Late {
            authority: self.authority.clone(),
        };
        tokio::time::timeout(LIMIT, self.read())
            .await
            .map_err(|_| late())?
    }

    async fn read(&self) -> Result<String, ScrapeError> {
        let authority = &self.authority;
        let http = |error: Box<dyn std::error::Error + Send + Sync>| ScrapeError::Http {
            authority: authority.clone(),
            error,
        };
        let stream = TcpStream::connect(authority)
            .await
            .map_err(|error| ScrapeError::Nobody {
                authority: authority.clone(),
                error,
            })?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| http(error.into()))?;
        let request = Request::get(&self.path)
            .header(HOST, authority)
            .body(http_body_util::Empty::<Bytes>::new())
            .map_err(|error| http(error.into()))?;
        let exchange = async {
            let response = sender
                .send_request(request)
                .await
                .map_err(|e| http(e.into()))?;
            let status = response.status();
            if status != StatusCode::OK {
                return Err(ScrapeError::Status {
                    authority: authority.clone(),
                    path: self.path.clone(),
                    status,
                });
            }
            let body = Limited::new(response.into_body(), MOST_BYTES);
            let body = body.collect().await.map_err(http)?;
            Ok(String::from_utf8_lossy(&body.to_bytes()).into_owned())
        };
        let mut connection = std::pin::pin!(connection);
        tokio::select! {
            page = exchange => page,
            // It ends after the page, unless it ends badly.
            Err(error) = &mut connection => Err(http(error.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_with_and_without_scheme_and_path() {
        for (text, url) in [
            ("127.0.0.1:9733", "http://127.0.0.1:9733/metrics"),
            ("http://localhost:1/", "http://localhost:1/metrics"),
            ("http://[::1]:7/other?x=1", "http://[::1]:7/other?x=1"),
            ("http://node", "http://node:80/metrics"),
        ] {
            assert_eq!(Target::parse(text).unwrap().url(), url);
        }
        for text in ["", "https://node", "http://", "a b", "http:///metrics"] {
            let error = Target::parse(text).unwrap_err().to_string();
            assert!(error.contains("9733"), "{text}: {error}");
        }
    }
}
