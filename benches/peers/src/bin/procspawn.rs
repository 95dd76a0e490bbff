//! `procspawn`: a function of this program in a new process, or in one of a pool.

use serde::{Deserialize, Serialize};
use sandtrap_peers::serve;

#[derive(Serialize, Deserialize)]
struct Piece(Vec<u8>);

fn main() {
    procspawn::init();
    let pool = procspawn::Pool::new(1).expect("a pool");
    let fresh = |crash: bool| {
        let handle = procspawn::spawn((Piece(vec![7; 64]), crash), |(piece, crash)| {
            if crash {
                std::process::abort();
            }
            piece
        });
        handle.join().is_ok()
    };
    let pooled = |crash: bool| {
        let handle = procspawn::spawn!(in pool, (crash => crash) || {
            if crash {
                std::process::abort();
            }
            Piece(vec![7; 64])
        });
        handle.join().is_ok()
    };
    serve("procspawn 1.0", &mut |work| match work {
        "fresh" => fresh(false),
        "warm" => pooled(false),
        "crash" => !pooled(true) && pooled(false),
        _ => false,
    });
}
