//! The attribute that makes a Rust program a guest. Use it through the crate `sandtrap-guest`.

use proc_macro::TokenStream;
use quote::quote;
use syn::{Error, ItemFn, parse_macro_input};

/// Makes `fn main` a guest's main: its panics, its error and its failed allocations reach the host.
///
/// `main` takes nothing and returns nothing, or a `Result<(), E>` of any error type, `anyhow`'s included.
#[proc_macro_attribute]
pub fn main(attribute: TokenStream, item: TokenStream) -> TokenStream {
    let main = parse_macro_input!(item as ItemFn);
    let complaint = if !attribute.is_empty() {
        Some("this attribute takes no arguments")
    } else if main.sig.ident != "main" {
        Some("only `fn main` can be a guest's main")
    } else if !main.sig.inputs.is_empty() || main.sig.asyncness.is_some() {
        Some("a guest's main takes no arguments and is not async")
    } else {
        None
    };
    if let Some(words) = complaint {
        return Error::new_spanned(&main.sig, words).to_compile_error().into();
    }
    quote! {
        fn main() -> ::std::process::ExitCode {
            #main
            ::sandtrap_guest::run_main(main)
        }
    }
    .into()
}
