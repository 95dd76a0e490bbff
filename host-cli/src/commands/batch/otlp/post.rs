//! One request over plain HTTP, as the exporter wants it sent: to a collector nearby, so there is no TLS.

use std::future::Future;
use std::io::{self, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};

/// A request has this long, with its answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// So much of an answer is read. What matters is in its head.
const MOST_HEARD: usize = 16 * 1024;

/// Sends on the thread that polls, which blocks meanwhile.
#[derive(Debug, Default)]
pub(super) struct Post {
    /// Why the last request had no answer.
    failure: Mutex<Option<String>>,
}

impl Post {
    pub(super) fn failure(&self) -> Option<String> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Option<String>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HttpClient for Post {
    // As `async_trait` would write it.
    fn send_bytes<'me, 'future>(
        &'me self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'future>>
    where
        'me: 'future,
        Self: 'future,
    {
        Box::pin(async move {
            let answer = post(&request);
            *self.lock() = answer.as_ref().err().map(io::Error::to_string);
            Ok(answer?)
        })
    }
}

fn post(request: &Request<Bytes>) -> io::Result<Response<Bytes>> {
    let until = Instant::now() + PATIENCE;
    let uri = request.uri();
    let host = format!("{}:{}", uri.host().unwrap_or_default(), uri.port_u16().unwrap_or(80));
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut head = format!(
        "{} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {}\r\nConnection: close\r\n",
        request.method(),
        request.body().len()
    )
    .into_bytes();
    for (name, value) in request.headers() {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            head.extend_from_slice(part);
        }
    }
    head.extend_from_slice(b"\r\n");
    let mut peer = connect(&host, until)?;
    peer.set_write_timeout(Some(left(until)?))?;
    peer.write_all(&head)?;
    peer.write_all(request.body())?;
    answer(&mut peer, until)
}

/// The first of its addresses that takes us.
fn connect(host: &str, until: Instant) -> io::Result<TcpStream> {
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "it has no address");
    for address in host.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, left(until)?) {
            Ok(peer) => return Ok(peer),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// The head of an answer. What a collector says besides is for people who read its log.
fn answer(peer: &mut TcpStream, until: Instant) -> io::Result<Response<Bytes>> {
    let (mut heard, mut buffer) = (Vec::new(), [0; 1024]);
    while !heard.windows(4).any(|end| end == b"\r\n\r\n") && heard.len() < MOST_HEARD {
        peer.set_read_timeout(Some(left(until)?))?;
        match peer.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => heard.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(late()),
            Err(error) => return Err(error),
        }
    }
    let strange = || io::Error::new(io::ErrorKind::InvalidData, "what answers speaks no HTTP");
    let text = String::from_utf8_lossy(&heard);
    let (head, _) = text.split_once("\r\n\r\n").ok_or_else(strange)?;
    let mut lines = head.split("\r\n");
    let mut words = lines.next().unwrap_or_default().split(' ');
    let speaks = words.next().is_some_and(|version| version.starts_with("HTTP/1."));
    let status = words.next().filter(|_| speaks).ok_or_else(strange)?;
    let mut response = Response::builder().status(status);
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        response = response.header(name, value.trim());
    }
    response.body(Bytes::new()).map_err(|_| strange())
}

/// What is left of the time, which is something.
fn left(until: Instant) -> io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(late()) } else { Ok(left) }
}

fn late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {} s", PATIENCE.as_secs()))
}
