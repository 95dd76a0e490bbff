//! Lives: tries to reach files and the network, and prints what it has reached.
//!
//! Wasm wall: nothing at all. Native wall: whatever its user can.
#![expect(clippy::print_stdout, reason = "printing is what this guest is for")]

use std::env;
use std::fs;
use std::net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket};

fn main() {
    let report = |what: &str, is_reached: bool| {
        if is_reached {
            println!("{what}");
        }
    };
    report("directory", fs::read_dir("/").is_ok() || fs::read_dir(".").is_ok());
    report("file", fs::read("/etc/hostname").is_ok());
    // Somebody's address, as HOST:PORT.
    let there = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9".to_owned());
    report("peer", TcpStream::connect(&there).is_ok());
    report("port", TcpListener::bind("127.0.0.1:0").is_ok());
    report("datagrams", UdpSocket::bind("127.0.0.1:0").is_ok());
    report("name", ("localhost", 1).to_socket_addrs().is_ok());
}
