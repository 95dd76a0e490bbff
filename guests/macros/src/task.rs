//! What `#[task]` makes of a function: the function, and beside it a type of the same name that tells how a call
//! of it is read, run and answered. Functions and types have names of their own, so the two don't meet.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{Error, FnArg, Ident, ItemFn, Type};

/// The function and its type, or what is wrong with it.
pub(crate) fn expand(attribute: TokenStream, function: &ItemFn) -> Result<TokenStream, Error> {
    let idempotent = is_idempotent(attribute)?;
    let signature = &function.sig;
    let complain = |words| Err(Error::new_spanned(signature, words));
    if signature.asyncness.is_some() {
        return complain("a task is not async; it has a thread of its own");
    }
    if !signature.generics.params.is_empty() || signature.variadic.is_some() {
        return complain("a task takes one particular type, so it can't be generic");
    }
    let mut types = Vec::new();
    for input in &signature.inputs {
        match input {
            FnArg::Typed(input) => types.push(&*input.ty),
            FnArg::Receiver(_) => return complain("a task is a plain function, without `self`"),
        }
    }
    let takes_context = types.last().is_some_and(|ty| is_context(ty));
    if takes_context {
        types.pop();
    }
    let input = match types[..] {
        [] => None,
        [ty] => Some(ty),
        _ => {
            return complain(
                "a task takes one input and then, if it wants, `&mut Context`; more inputs go into \
                 a struct or a tuple",
            );
        }
    };
    let (name, visibility) = (&signature.ident, &function.vis);
    let text = name.to_string();
    let text = text.strip_prefix("r#").unwrap_or(&text);
    let context = format_ident!("context");
    let read = input.map_or_else(|| quote!(call.no_input()), |ty| quote!(call.input::<#ty>()));
    let given = input.map(|_| quote!(input,));
    let context_given = takes_context.then(|| quote!(#context));
    Ok(quote! {
        #function

        #[doc(hidden)]
        #[allow(non_camel_case_types, reason = "it bears the name of its function")]
        #visibility struct #name {}

        impl ::sandtrap_guest::Task for #name {
            const FUNCTION: ::sandtrap_guest::Function = {
                fn run(
                    call: &mut ::sandtrap_guest::task_parts::Call,
                    #context: &mut ::sandtrap_guest::Context,
                ) -> ::sandtrap_guest::task_parts::Settled {
                    use ::sandtrap_guest::task_parts::{
                        Outcome, SettleResult as _, SettleTyped as _, SettleValue as _,
                    };
                    let _ = &#context;
                    match #read {
                        Ok(input) => {
                            let _ = &input;
                            let outcome = Outcome::of(#name(#given #context_given));
                            (&&&outcome).settle(call)
                        }
                        Err(settled) => settled,
                    }
                }
                ::sandtrap_guest::Function { name: #text, idempotent: #idempotent, run }
            };
        }
    })
}

/// What stands behind `#[task`: nothing, or that it may be called twice.
fn is_idempotent(attribute: TokenStream) -> Result<bool, Error> {
    if attribute.is_empty() {
        return Ok(false);
    }
    let word: Ident = syn::parse2(attribute)?;
    if word != "idempotent" {
        let words = "there is only `#[task(idempotent)]`, for a function that may be called twice";
        return Err(Error::new_spanned(word, words));
    }
    Ok(true)
}

/// `&mut Context`, by whatever path.
fn is_context(ty: &Type) -> bool {
    let Type::Reference(reference) = ty else { return false };
    let Type::Path(path) = &*reference.elem else { return false };
    reference.mutability.is_some()
        && path.path.segments.last().is_some_and(|segment| segment.ident == "Context")
}
