//! The attributes that make functions of a Rust program callable by a host. Guests use them through `sandtrap-guest`,
//! and programs that isolate their own functions through `sandtrap`.

mod isolated;
mod task;

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

/// Makes a function a task that a host can call by its name, once `sandtrap_guest::serve!` lists it.
///
/// It takes one value that can be deserialized, or none, and then `&mut Context`, if it wants. It returns a value
/// that can be serialized, or a `Result` of one with any error. The function itself stays as it is.
///
/// `#[task(idempotent)]` says that it may be called twice for one result, as one may that only computes: then an executor
/// tries it again when its guest has died of it.
#[proc_macro_attribute]
pub fn task(attribute: TokenStream, item: TokenStream) -> TokenStream {
    let function = parse_macro_input!(item as ItemFn);
    task::expand(attribute.into(), &function)
        .unwrap_or_else(|error| error.to_compile_error())
        .into()
}

/// Has every call of a function run in a caged process of this very program.
#[proc_macro_attribute]
pub fn isolated(attribute: TokenStream, item: TokenStream) -> TokenStream {
    isolated::expand(attribute.into(), item.into())
        .unwrap_or_else(|error| error.to_compile_error())
        .into()
}
