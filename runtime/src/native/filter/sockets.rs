//! Sockets. Where the network was granted, of its ordinary kinds; of the others never.

use crate::permissions::Profile;

use super::rules::{Answer, Case, Rule, Test, Whom};
use super::table::{ALLOW, CHANGING, KILL, always};

use Test::{Bits, Is, OneOf};

/// Whoever may have a network, if it was granted.
const GRANTED: Whom =
    Whom::Networked(&[Profile::Compute, Profile::Files, Profile::Process, Profile::Jit]);

const UNIX: u32 = libc::AF_UNIX as u32;
const INTERNET: &[u32] = &[libc::AF_INET as u32, libc::AF_INET6 as u32];

/// The part of a socket's type that is not a flag.
const KIND: u32 = 0xf;

/// The oldest kind of raw socket.
const OLD_PACKET: u32 = 10;

const SOCKET: &[Case] = &[
    Case { tests: &[Bits(1, KIND, libc::SOCK_RAW as u32)], answer: Answer::Kill },
    Case { tests: &[Bits(1, KIND, OLD_PACKET)], answer: Answer::Kill },
    Case { tests: &[Is(0, UNIX)], answer: Answer::Allow },
    Case {
        tests: &[
            OneOf(0, INTERNET),
            OneOf(2, &[0, libc::IPPROTO_TCP as u32, libc::IPPROTO_UDP as u32]),
        ],
        answer: Answer::Allow,
    },
    Case { tests: &[OneOf(0, INTERNET)], answer: Answer::Fail(libc::EPROTONOSUPPORT) },
    // Libraries ask it for interfaces, and can do without; root could change the host's by it.
    Case { tests: &[Is(0, libc::AF_NETLINK as u32)], answer: Answer::Fail(libc::EAFNOSUPPORT) },
    // Among them what passes a namespace by (vsock), and what reaches into the kernel (alg, packet).
    always(Answer::Kill),
];

/// Libraries look for daemons of names and logs of their own accord.
const NO_SOCKET: &[Case] = &[
    Case { tests: &[Is(0, UNIX)], answer: Answer::Fail(libc::EAFNOSUPPORT) },
    always(Answer::Kill),
];

/// Connected kinds only: from one end of a pair of datagram sockets others can be reached by name.
const PAIR: &[Case] = &[
    Case { tests: &[Is(0, UNIX), Bits(1, KIND, libc::SOCK_STREAM as u32)], answer: Answer::Allow },
    Case {
        tests: &[Is(0, UNIX), Bits(1, KIND, libc::SOCK_SEQPACKET as u32)],
        answer: Answer::Allow,
    },
    always(Answer::Fail(libc::EOPNOTSUPP)),
];

/// Options of sockets, of protocols, and of none of the packet filters, which have numbers among them.
const OPTION: &[Case] = &[
    Case {
        tests: &[
            OneOf(1, &[libc::IPPROTO_IP as u32, libc::IPPROTO_IPV6 as u32]),
            OneOf(2, &[64, 65, 96, 97, 128, 129]),
        ],
        answer: Answer::Fail(libc::EPERM),
    },
    Case {
        tests: &[OneOf(
            1,
            &[
                libc::SOL_SOCKET as u32,
                libc::IPPROTO_IP as u32,
                libc::IPPROTO_TCP as u32,
                libc::IPPROTO_UDP as u32,
                libc::IPPROTO_IPV6 as u32,
            ],
        )],
        answer: Answer::Allow,
    },
    always(Answer::Fail(libc::ENOPROTOOPT)),
];

const TALK: &str = "sendto recvfrom sendmsg recvmsg sendmmsg recvmmsg shutdown getsockopt \
                    getsockname getpeername";

pub(super) const RULES: &[Rule] = &[
    Rule { title: "sockets", calls: "socket", whom: GRANTED, cases: SOCKET },
    Rule { title: "sockets", calls: "socket", whom: Whom::Everybody, cases: NO_SOCKET },
    Rule {
        title: "connecting and serving",
        calls: "connect bind listen accept accept4",
        whom: GRANTED,
        cases: ALLOW,
    },
    Rule {
        title: "connecting and serving",
        calls: "connect bind listen accept accept4",
        whom: Whom::Everybody,
        cases: KILL,
    },
    Rule { title: "pairs of sockets", calls: "socketpair", whom: GRANTED, cases: PAIR },
    Rule { title: "pairs of sockets", calls: "socketpair", whom: CHANGING, cases: PAIR },
    Rule { title: "pairs of sockets", calls: "socketpair", whom: Whom::Everybody, cases: KILL },
    Rule { title: "talking over sockets", calls: TALK, whom: GRANTED, cases: ALLOW },
    Rule { title: "talking over sockets", calls: TALK, whom: CHANGING, cases: ALLOW },
    Rule {
        title: "talking over sockets",
        calls: TALK,
        whom: Whom::Everybody,
        cases: &[always(Answer::Fail(libc::ENOTSOCK))],
    },
    Rule { title: "options of sockets", calls: "setsockopt", whom: GRANTED, cases: OPTION },
    Rule {
        title: "options of sockets",
        calls: "setsockopt",
        whom: Whom::Everybody,
        cases: &[always(Answer::Fail(libc::ENOTSOCK))],
    },
];
