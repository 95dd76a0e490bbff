//! Ways out by a socket.

use std::io::IoSlice;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixStream};
use std::time::Duration;

use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, sendmsg, socketpair,
};
use sandtrap::Label;

use super::expect::{Expect, Expected, Profile};
use super::forgeries::DENIED;
use super::table::{Row, case};
use super::{Given, Outcome};

const CONTAINED: Expected = Expected::always(&[Expect::Contained]);

/// How many descriptors it tries to hide in a socket.
const MANY: usize = 4096;

/// Their cases.
pub(super) fn rows() -> Vec<Row> {
    let pairs = Expected::but(
        &[Expect::Ends(Label::DeniedSyscall)],
        &[(&[Profile::Files, Profile::Process], &[Expect::Contained])],
    );
    vec![
        case(7, "descriptors-in-flight", "descriptors hidden in a socket", pairs, in_flight),
        case(25, "abstract-socket", "an abstract socket of its host", CONTAINED, |given| {
            let address = UnixAddr::from_abstract_name(&given.abstract_name);
            reached(address.and_then(|address| UnixStream::connect_addr(&address)))
        }),
        case(26, "path-socket", "a socket with a path", CONTAINED, |given| {
            reached(UnixStream::connect(given.folder.join("socket")))
        }),
        case(27, "tcp-to-host", "a port of its host", DENIED, |given| {
            let address = SocketAddr::from(([127, 0, 0, 1], given.port));
            reached(TcpStream::connect_timeout(&address, Duration::from_secs(1)))
        }),
        case(27, "tcp-to-metadata", "the address where clouds keep secrets", DENIED, |_| {
            let address = SocketAddr::from(([169, 254, 169, 254], 80));
            reached(TcpStream::connect_timeout(&address, Duration::from_millis(200)))
        }),
        case(27, "udp-out", "a datagram to anybody", DENIED, |_| {
            // An address that is kept for examples.
            let sent = UdpSocket::bind(("0.0.0.0", 0))
                .and_then(|socket| socket.send_to(b"x", ("192.0.2.1", 9)));
            reached(sent)
        }),
    ]
}

fn reached<T>(answer: std::io::Result<T>) -> Outcome {
    match answer {
        Ok(_) => Outcome::breach("it answered"),
        Err(error) => Outcome::refused(error),
    }
}

fn in_flight(_: &Given) -> Outcome {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let pair = socketpair(AddressFamily::Unix, SockType::Stream, None, flags);
    let (one, _other) = match pair {
        Ok(pair) => pair,
        Err(errno) => return Outcome::refused(errno),
    };
    let itself = [one.as_raw_fd()];
    for _ in 0..MANY {
        let hidden = [ControlMessage::ScmRights(&itself)];
        let sent =
            sendmsg::<()>(one.as_raw_fd(), &[IoSlice::new(b"x")], &hidden, MsgFlags::empty(), None);
        if let Err(errno) = sent {
            return Outcome::refused(errno);
        }
    }
    Outcome::breach(format!("it hid {MANY} descriptors"))
}
