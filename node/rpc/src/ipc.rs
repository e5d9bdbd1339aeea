//! JSON-RPC over a Unix domain socket, as geth serves it: `parsd.ipc` in the data folder.
//!
//! Requests follow one another without a frame, each answer ends with a newline, subscriptions work as
//! over WebSocket. The socket is for its owner alone (mode 0600), so there is no host check, no bound
//! on the rate, and no end for silence; what bounds a connection's memory is the same as elsewhere.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::Extensions;
use jsonrpsee::ConnectionId;
use jsonrpsee::core::JsonRawValue;
use jsonrpsee::core::server::{BoundedSubscriptions, MethodSink, Methods};
use jsonrpsee::server::StopHandle;
use jsonrpsee::types::Id;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;

use crate::config::RpcConfig;
use crate::connection::{Closer, Patient};
use crate::context::Shared;
use crate::dispatch::{self, Direct, Feeds};
use crate::error::{Fault, RpcError, code};
use crate::framing::{Framer, FramingError};
use crate::gate::Origin;
use crate::polite::Polite;
use crate::server::{ACCEPT_RETRY, STOP_PATIENCE};
use crate::subscribe::HexIds;

/// A silent connection is kept this long, which is for ever.
const NO_END: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// Bytes read at a time.
const READ_BYTES: usize = 16 * 1024;
/// Answers that a connection may owe, beyond those in work, before no more is read from it.
const OWED: usize = 64;
/// Bytes that a socket's path can have on every system: programs could not connect to a longer one.
const LONGEST_PATH: usize = 103;

/// A socket file; removed when dropped, if it is still ours.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    /// Device and inode.
    identity: Option<(u64, u64)>,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path) == self.identity
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::debug!(%error, path = %self.path.display(), "the IPC socket was not removed");
        }
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = fs::symlink_metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

/// The socket, listening.
#[derive(Debug)]
pub(crate) struct Socket {
    listener: UnixListener,
    file: SocketFile,
}

impl Socket {
    /// Listens at `path`, in place of a socket that nobody listens at any more.
    ///
    /// The socket is made in a folder that only its owner can enter and put in its place when its mode
    /// is right: there is no moment at which others could connect.
    pub(crate) fn bind(path: &Path) -> Result<Self, RpcError> {
        let failed = |source| RpcError::Ipc {
            path: path.to_owned(),
            source,
        };
        if path.as_os_str().len() > LONGEST_PATH {
            let words = format!("the path of a socket has at most {LONGEST_PATH} bytes");
            return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, words)));
        }
        match fs::symlink_metadata(path) {
            Ok(metadata) if !metadata.file_type().is_socket() => {
                return Err(RpcError::IpcNoSocket(path.to_owned()));
            }
            Ok(_) => match std::os::unix::net::UnixStream::connect(path) {
                Ok(_) => return Err(RpcError::IpcInUse(path.to_owned())),
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                Err(source) => return Err(failed(source)),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(failed(source)),
        }
        let folder = path
            .parent()
            .unwrap_or(Path::new(""))
            .join(format!(".ipc{}", std::process::id()));
        // Left by a process of the same number that was killed here.
        let _ = fs::remove_dir_all(&folder);
        DirBuilder::new()
            .mode(0o700)
            .create(&folder)
            .map_err(failed)?;
        let private = folder.join("s");
        let listener = UnixListener::bind(&private).and_then(|listener| {
            fs::set_permissions(&private, Permissions::from_mode(0o600))?;
            fs::rename(&private, path)?;
            Ok(listener)
        });
        let _ = fs::remove_dir_all(&folder);
        Ok(Self {
            listener: listener.map_err(failed)?,
            file: SocketFile {
                path: path.to_owned(),
                identity: identity(path),
            },
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.file.path
    }
}

/// Serves the socket until the server stops.
pub(crate) async fn run(
    socket: Socket,
    config: RpcConfig,
    methods: Methods,
    shared: Arc<Shared>,
    stop: StopHandle,
) {
    let server = Arc::new(Server {
        config,
        methods,
        shared,
    });
    let places = Arc::new(Semaphore::new(server.config.max_connections));
    let mut connections = JoinSet::new();
    let stopped = stop.clone().shutdown();
    tokio::pin!(stopped);
    // Apart from those of the TCP port, which count up from 1: subscriptions are found by them.
    let mut number = usize::MAX / 2;
    loop {
        let accepted = tokio::select! {
            () = &mut stopped => break,
            Some(_) = connections.join_next() => continue,
            accepted = socket.listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept an IPC connection");
                tokio::time::sleep(ACCEPT_RETRY).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            tracing::debug!("an IPC connection beyond the limit was closed");
            continue;
        };
        number = number.wrapping_add(1);
        connections.spawn(Arc::clone(&server).connection(
            stream,
            ConnectionId(number),
            place,
            stop.clone(),
        ));
    }
    let Socket { listener, file } = socket;
    drop(file);
    drop(listener);
    // Each ends when what it was asked is answered.
    while connections.join_next().await.is_some() {}
}

struct Server {
    config: RpcConfig,
    methods: Methods,
    shared: Arc<Shared>,
}

impl Server {
    /// The whole life of one connection.
    async fn connection(
        self: Arc<Self>,
        stream: UnixStream,
        connection: ConnectionId,
        place: OwnedSemaphorePermit,
        stop: StopHandle,
    ) {
        let config = &self.config;
        let closer = Closer::default();
        let stream =
            Patient::new(stream, closer.clone(), NO_END, config.write_timeout).holding(place);
        let (reader, writer) = tokio::io::split(stream);
        let (answers, queue) = mpsc::channel(config.message_buffer.max(1) as usize);
        let sink = MethodSink::new_with_limit(answers, config.max_response_bytes);
        let service = Polite {
            inner: Direct {
                methods: self.methods.clone(),
                connection,
                max_response_bytes: config.max_response_bytes as usize,
                feeds: Some(Feeds {
                    bound: BoundedSubscriptions::new(config.max_subscriptions),
                    sink: sink.clone(),
                    ids: Arc::new(HexIds::default()),
                }),
            },
            methods: self.methods.clone(),
            max_response_bytes: config.max_response_bytes as usize,
            in_flight: Arc::new(Semaphore::new(config.max_in_flight.max(1))),
            shared: Arc::clone(&self.shared),
            guest: None,
        };
        let mut extensions = Extensions::new();
        extensions.insert(Origin {
            notifies: true,
            closer,
        });
        let (done, finished) = oneshot::channel::<()>();
        let reading = async {
            self.read_requests(reader, service, extensions, sink, stop)
                .await;
            drop(done);
            // The writer says when everything is written.
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = reading => {}
            outcome = write_answers(writer, queue, finished) => if let Err(error) = outcome {
                tracing::debug!(%error, "an IPC connection ended with an error");
            }
        }
    }

    async fn read_requests(
        &self,
        mut reader: ReadHalf<Patient<UnixStream>>,
        service: Polite<Direct>,
        extensions: Extensions,
        sink: MethodSink,
        stop: StopHandle,
    ) {
        let config = &self.config;
        let stopped = stop.shutdown();
        tokio::pin!(stopped);
        let most = config.max_request_bytes as usize;
        let max_batch = config.max_batch as usize;
        let owed = Arc::new(Semaphore::new(config.max_in_flight.max(1) + OWED));
        let mut tasks = JoinSet::new();
        let mut framer = Framer::default();
        let mut bytes = vec![0; READ_BYTES];
        let refusal = loop {
            match framer.next(most) {
                Ok(Some(request)) => {
                    // A client that does not read its answers is not read any further.
                    let Ok(permit) = Arc::clone(&owed).acquire_owned().await else {
                        return;
                    };
                    while tasks.try_join_next().is_some() {}
                    let (service, extensions, sink) =
                        (service.clone(), extensions.clone(), sink.clone());
                    tasks.spawn(async move {
                        let answer =
                            dispatch::answer(&service, &request, max_batch, extensions).await;
                        // Subscriptions send their own answer; notifications have none.
                        if answer.is_method_call() || answer.is_batch() {
                            let (json, told, _) = answer.into_parts();
                            let sent = sink.send(json).await.is_ok();
                            if let Some(told) = told {
                                told.notify(sent);
                            }
                        }
                        drop(permit);
                    });
                    continue;
                }
                Ok(None) => {}
                Err(FramingError::NoValue) => {
                    break Some(Fault::new(code::PARSE_ERROR, "parse error"));
                }
                Err(FramingError::TooLarge) => {
                    let text = format!("request body is larger than {most} bytes");
                    break Some(Fault::new(code::INVALID_REQUEST, text));
                }
            }
            let patience = if framer.is_within() {
                config.request_timeout
            } else {
                NO_END
            };
            let read = tokio::select! {
                () = &mut stopped => break None,
                read = tokio::time::timeout(patience, reader.read(&mut bytes)) => read,
            };
            match read {
                // Half-closed: what was asked is still answered.
                Ok(Ok(0) | Err(_)) => break None,
                Ok(Ok(count)) => framer.push(bytes.get(..count).unwrap_or_default()),
                Err(_) => break Some(Fault::new(code::TIMEOUT, "request timed out")),
            }
        };
        // What was asked before is answered before the end.
        let answered = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_PATIENCE, answered).await.is_err() {
            tracing::debug!("an IPC connection ends before all of its requests are answered");
        }
        if let Some(refusal) = refusal {
            // If it is gone, nobody wants to know.
            let _ = sink.send_error(Id::Null, refusal.into()).await;
        }
    }
}

/// Writes answers and notifications, each with a newline; those that wait are written together. When
/// `finished` comes, what is in the queue is the last.
async fn write_answers(
    mut writer: WriteHalf<Patient<UnixStream>>,
    mut queue: mpsc::Receiver<Box<JsonRawValue>>,
    mut finished: oneshot::Receiver<()>,
) -> io::Result<()> {
    let mut bytes = Vec::new();
    let mut last = false;
    loop {
        let answer = tokio::select! {
            biased;
            answer = queue.recv() => answer,
            _ = &mut finished, if !last => {
                last = true;
                queue.close();
                continue;
            }
        };
        let Some(answer) = answer else { return Ok(()) };
        bytes.clear();
        let mut next = Some(answer);
        while let Some(answer) = next {
            bytes.extend_from_slice(answer.get().as_bytes());
            bytes.push(b'\n');
            next = if bytes.len() < READ_BYTES {
                queue.try_recv().ok()
            } else {
                None
            };
        }
        writer.write_all(&bytes).await?;
        writer.flush().await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stale_socket_is_replaced_a_living_one_and_other_files_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("parsd.ipc");
        let first = Socket::bind(&path).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        let taken = Socket::bind(&path).unwrap_err();
        assert!(matches!(taken, RpcError::IpcInUse(_)), "{taken}");
        // Killed: the file stays, nobody listens.
        let Socket { listener, file } = first;
        std::mem::forget(file);
        drop(listener);
        assert!(path.exists());
        let second = Socket::bind(&path).unwrap();
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            1,
            "nothing else is left"
        );
        drop(second);
        assert!(!path.exists(), "an orderly end removes it");

        fs::write(&path, "precious").unwrap();
        let no_socket = Socket::bind(&path).unwrap_err();
        assert!(matches!(no_socket, RpcError::IpcNoSocket(_)), "{no_socket}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[tokio::test]
    async fn another_ones_socket_is_not_removed_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("parsd.ipc");
        let first = Socket::bind(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let second = Socket::bind(&path).unwrap();
        drop(first);
        assert!(path.exists());
        drop(second);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_path_that_is_too_long_is_an_error_in_words() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x".repeat(120));
        let error = Socket::bind(&path).unwrap_err().to_string();
        assert!(error.contains("--ipc-path"), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
