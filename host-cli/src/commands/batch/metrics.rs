//! `--metrics ADDR`: what has happened so far, over HTTP, in the text that Prometheus reads, for as long as the batch runs.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs as _};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use nix::poll::{PollTimeout, poll};

use super::board::Board;
use crate::args::misuse;

/// Who asks has this long for it and for taking the answer, however many pieces either comes in.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where nobody can be let in, for want of descriptors say, it is tried again after this long.
const REST_MILLIS: u16 = 100;

/// So much of a question is read. What matters is in its first line.
const MOST_ASKED: usize = 8 * 1024;

/// Begins to listen, and gives out what is on the board until this process ends. Says where.
pub(super) fn open(address: &str, board: &Board) -> anyhow::Result<SocketAddr> {
    let listener = listen(address)?;
    let bound = listener.local_addr().context("cannot find out where metrics are given out")?;
    let board = board.clone();
    thread::Builder::new()
        .name("metrics".to_owned())
        .spawn(move || serve(&listener, &board))
        .context("cannot start the thread that gives out metrics")?;
    Ok(bound)
}

fn listen(address: &str) -> anyhow::Result<TcpListener> {
    // Without a host it is this one, and nobody else's.
    let named = match address.strip_prefix(':') {
        Some(port) => format!("127.0.0.1:{port}"),
        None => address.to_owned(),
    };
    let addresses = named.to_socket_addrs().map_err(|error| {
        let what = format!(
            "`{address}` is no address to listen on ({error}); write it as in --metrics 127.0.0.1:9090"
        );
        misuse("batch", what)
    })?;
    TcpListener::bind(&*addresses.collect::<Vec<_>>())
        .with_context(|| format!("cannot give out metrics at `{address}`"))
}

/// One peer after the other. Whoever asks badly costs the next one no more than his time.
fn serve(listener: &TcpListener, board: &Board) {
    for peer in listener.incoming() {
        match peer {
            // Whoever went away, or took too long, has no answer.
            Ok(peer) => _ = answer(peer, board),
            // It would be the same again at once. That this wait may end early does no harm.
            Err(_) => _ = poll(&mut [], PollTimeout::from(REST_MILLIS)),
        }
    }
}

/// One question, one answer.
fn answer(mut peer: TcpStream, board: &Board) -> io::Result<()> {
    let until = Instant::now() + PATIENCE;
    let mut asked = Vec::new();
    let mut buffer = [0; 1024];
    while !asked.windows(4).any(|end| end == b"\r\n\r\n") && asked.len() < MOST_ASKED {
        peer.set_read_timeout(Some(left(until)?))?;
        match peer.read(&mut buffer)? {
            0 => break,
            count => asked.extend_from_slice(&buffer[..count]),
        }
    }
    let line = asked.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let mut words = line.split(|byte| *byte == b' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = path.split(|byte| *byte == b'?').next().unwrap_or_default();
    let (status, body) = match (method, path) {
        (b"GET" | b"HEAD", b"/metrics") => ("200 OK", board.text()),
        (b"GET" | b"HEAD", _) => ("404 Not Found", "metrics are at /metrics\n".to_owned()),
        _ => ("405 Method Not Allowed", "ask with GET\n".to_owned()),
    };
    let mut answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    if method != b"HEAD" {
        answer.push_str(&body);
    }
    give(&mut peer, answer.as_bytes(), until)
}

fn give(peer: &mut TcpStream, mut rest: &[u8], until: Instant) -> io::Result<()> {
    while !rest.is_empty() {
        peer.set_write_timeout(Some(left(until)?))?;
        match peer.write(rest)? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            count => rest = &rest[count..],
        }
    }
    Ok(())
}

/// What is left of the time, which is something.
fn left(until: Instant) -> io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_address_is_told_with_one_that_is() {
        for bad in ["nonsense", "127.0.0.1", "127.0.0.1:70000", "::::"] {
            let error = format!("{:#}", listen(bad).unwrap_err());
            assert!(error.contains(bad) && error.contains("--metrics 127.0.0.1:9090"), "{error}");
        }
    }

    #[test]
    fn an_address_that_is_taken_is_told() {
        let taken = listen("127.0.0.1:0").unwrap().local_addr().unwrap();
        let _held = TcpListener::bind(taken);
        let error = format!("{:#}", listen(&taken.to_string()).unwrap_err());
        assert!(
            error.contains(&format!("metrics at `{taken}`")) && error.contains("in use"),
            "{error}"
        );
    }

    #[test]
    fn a_port_alone_is_this_hosts_own() {
        assert!(listen(":0").unwrap().local_addr().unwrap().ip().is_loopback());
    }
}
