//! `--metrics ADDR`: what has happened so far, over HTTP, in the text that Prometheus reads, for as long as the batch runs.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs as _};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;

use super::board::Board;
use crate::args::misuse;

/// Who asks has this long for it, and for taking the answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// So much of a question is read. What matters is in its first line.
const MOST_ASKED: usize = 8 * 1024;

/// Begins to listen, and gives out what is on the board until this process ends. Says where.
pub(super) fn open(address: &str, board: &Board) -> anyhow::Result<SocketAddr> {
    let listener = listen(address)?;
    let bound = listener.local_addr().context("cannot find out where metrics are given out")?;
    let board = board.clone();
    thread::Builder::new()
        .name("metrics".to_owned())
        .spawn(move || listener.incoming().flatten().for_each(|peer| _ = answer(peer, &board)))
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

/// One question, one answer. Whoever asks badly harms nobody but himself.
fn answer(mut peer: TcpStream, board: &Board) -> io::Result<()> {
    peer.set_read_timeout(Some(PATIENCE))?;
    peer.set_write_timeout(Some(PATIENCE))?;
    let mut asked = Vec::new();
    let mut buffer = [0; 1024];
    while !asked.windows(4).any(|end| end == b"\r\n\r\n") && asked.len() < MOST_ASKED {
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
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    peer.write_all(head.as_bytes())?;
    if method != b"HEAD" {
        peer.write_all(body.as_bytes())?;
    }
    Ok(())
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
