//! Benches only; see the folder `questions`.
