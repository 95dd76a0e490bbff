//! What `#[isolated]` makes of a function: one of the same name that has the call run elsewhere, a type of the same
//! name with the other ways to run it, and an entry by which a process of this program finds the function itself.
//!
//! The function stands inside of what runs it there, so that what it calls by its own name is itself, and no
//! further process.

mod settings;

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::{
    Attribute, Error, FnArg, GenericArgument, Ident, ItemFn, Pat, PathArguments, ReturnType,
    Safety, Signature, Type,
};

use settings::{Setting, Settings};

/// Values are written as one tuple, and no larger tuple can be.
const MOST_ARGUMENTS: usize = 16;

/// One argument of the function.
struct Argument {
    name: Ident,
    /// As the caller gives it.
    ty: Type,
    /// As it comes out of the channel.
    owned: TokenStream,
    is_borrowed: bool,
}

/// What is written in its place, or what is wrong with it.
pub(crate) fn expand(attribute: TokenStream, item: TokenStream) -> Result<TokenStream, Error> {
    let Settings(settings) = syn::parse2(attribute)?;
    let function: ItemFn = syn::parse2(item)?;
    let signature = &function.sig;
    check(signature)?;
    let arguments = arguments(signature)?;
    let value = value_of(&signature.output)?;
    let (outside, inside): (Vec<&Attribute>, Vec<&Attribute>) =
        function.attrs.iter().partition(|attribute| is_for_callers(attribute));
    let body = &function.block;
    let inner = quote!(#(#inside)* #signature #body);
    Ok(written(&function, &outside, &inner, &arguments, &value, &settings))
}

fn written(
    function: &ItemFn,
    outside: &[&Attribute],
    inner: &TokenStream,
    arguments: &[Argument],
    value: &TokenStream,
    settings: &[Setting],
) -> TokenStream {
    let (name, visibility) = (&function.sig.ident, &function.vis);
    let text = name.to_string();
    let text = text.strip_prefix("r#").unwrap_or(&text);
    let names: Vec<&Ident> = arguments.iter().map(|argument| &argument.name).collect();
    let typed = arguments.iter().map(|Argument { name, ty, .. }| quote!(#name: #ty));
    let typed: Vec<TokenStream> = typed.collect();
    let given = match &names[..] {
        [only] => quote!(&#only),
        all => quote!(&(#(&#all,)*)),
    };
    let owned: Vec<&TokenStream> = arguments.iter().map(|argument| &argument.owned).collect();
    let (pattern, input) = match (&names[..], &owned[..]) {
        ([only], [ty]) => (quote!(#only), quote!(#ty)),
        (all, types) => (quote!((#(#all,)*)), quote!((#(#types,)*))),
    };
    let passed = arguments.iter().map(|Argument { name, is_borrowed, .. }| match is_borrowed {
        true => quote!(&#name),
        false => quote!(#name),
    });
    let keys = settings.iter().map(|setting| &setting.key);
    let values = settings.iter().map(|setting| &setting.value);
    let guards = settings.iter().filter_map(known_guard);
    let ways = ways(visibility, &typed, &given, value);
    let about = format!("The other ways to run [`{text}`](fn@{text}) behind its wall.");
    quote! {
        #(#outside)*
        #visibility fn #name(#(#typed),*) -> ::core::result::Result<#value, ::sandtrap::CallError> {
            ::sandtrap::isolated_parts::call(#name::__isolated(), #given)
        }

        #[doc = #about]
        #[allow(non_camel_case_types, reason = "it bears the name of its function")]
        #[derive(Debug)]
        #visibility enum #name {}

        #[allow(dead_code, reason = "they are there for whoever wants them")]
        impl #name {
            #ways

            #[doc(hidden)]
            fn __isolated() -> &'static ::sandtrap::isolated_parts::Isolated {
                #inner

                fn __run(
                    __call: &mut ::sandtrap::isolated_parts::Call,
                    _: &mut ::sandtrap::isolated_parts::Context,
                ) -> ::sandtrap::isolated_parts::Settled {
                    use ::sandtrap::isolated_parts::{
                        Outcome, SettleResult as _, SettleTyped as _, SettleValue as _,
                    };
                    match __call.input::<#input>() {
                        Ok(#pattern) => {
                            let __outcome = Outcome::of(#name(#(#passed),*));
                            (&&&__outcome).settle(__call)
                        }
                        Err(__settled) => __settled,
                    }
                }

                static __ISOLATED: ::sandtrap::isolated_parts::Isolated =
                    ::sandtrap::isolated_parts::Isolated::new(
                        ::core::concat!(::core::module_path!(), "::", #text),
                        ::core::concat!(::core::file!(), ":", ::core::line!()),
                        &[#((#keys, #values)),*],
                        __run,
                    );
                &__ISOLATED
            }
        }

        #(#guards)*

        const _: () = {
            #[::sandtrap::isolated_parts::linkme::distributed_slice(::sandtrap::isolated_parts::FUNCTIONS)]
            #[linkme(crate = ::sandtrap::isolated_parts::linkme)]
            static ENTRY: fn() -> &'static ::sandtrap::isolated_parts::Isolated = #name::__isolated;
        };
    }
}

/// Has the compiler ask the library whether there is such a guard.
fn known_guard(setting: &Setting) -> Option<TokenStream> {
    let Setting { value, guard, .. } = setting;
    let words = format!(
        "`{value}` is no guard of a process; `sandtrap::Guarding::NAMES` has those there are, and `sandtrap doctor` says of each \
         whether this host offers it"
    );
    guard.map(|span| {
        quote_spanned! {span=>
            const _: () = ::core::assert!(::sandtrap::isolated_parts::is_guard(#value), "{}", #words);
        }
    })
}

/// The ways besides a plain call.
fn ways(
    visibility: &syn::Visibility,
    typed: &[TokenStream],
    given: &TokenStream,
    value: &TokenStream,
) -> TokenStream {
    quote! {
        /// Calls it without blocking the caller's thread: for async programs, whatever their runtime.
        #visibility fn call_async(#(#typed),*) -> ::sandtrap::Running<#value> {
            ::sandtrap::isolated_parts::call_async(Self::__isolated(), #given)
        }

        /// Calls it, and gives all that is known about it.
        #visibility fn report(#(#typed),*) -> ::core::result::Result<::sandtrap::Report, ::sandtrap::CallError> {
            ::sandtrap::isolated_parts::report(Self::__isolated(), #given)
        }

        /// A call of it as a task, to be run by what [`loaded`](Self::loaded) gives.
        #visibility fn task(#(#typed),*) -> ::core::result::Result<::sandtrap::Task, ::sandtrap::ValueError> {
            ::sandtrap::isolated_parts::task(Self::__isolated(), #given)
        }

        /// This program as the guest whose function it is: for pools, executors, or other limits for one task.
        #visibility fn loaded() -> ::core::result::Result<::sandtrap::Loaded, ::sandtrap::Error> {
            ::sandtrap::isolated_parts::loaded(Self::__isolated())
        }
    }
}

/// Whether an attribute speaks to whoever calls the function; all others belong to its body.
fn is_for_callers(attribute: &Attribute) -> bool {
    ["doc", "deprecated", "must_use"].iter().any(|name| attribute.path().is_ident(name))
}

fn check(signature: &Signature) -> Result<(), Error> {
    let complain = |words: &str| Err(Error::new_spanned(signature, words));
    if signature.asyncness.is_some() {
        return complain(
            "an isolated function is not async: it has a process of its own. Leave `async` out, and await \
             `name::call_async(…)` where it is called",
        );
    }
    if !matches!(signature.safety, Safety::Default) || signature.abi.is_some() {
        return complain("an isolated function is a plain one: neither `unsafe` nor `extern`");
    }
    if signature.constness.is_some() || signature.variadic.is_some() {
        return complain("an isolated function is a plain one: neither `const` nor variadic");
    }
    if !signature.generics.params.is_empty() {
        return complain(
            "an isolated function is found by its name, and a generic one would be many; write one for each \
             type, and have them call the generic one",
        );
    }
    if signature.inputs.len() > MOST_ARGUMENTS {
        return complain("an isolated function takes 16 arguments at most; put them into a struct");
    }
    Ok(())
}

fn arguments(signature: &Signature) -> Result<Vec<Argument>, Error> {
    signature.inputs.iter().enumerate().map(|(index, input)| argument(index, input)).collect()
}

fn argument(index: usize, input: &FnArg) -> Result<Argument, Error> {
    let FnArg::Typed(input) = input else {
        let words =
            "an isolated function is a plain one, without `self`; give it what it needs of it";
        return Err(Error::new_spanned(input, words));
    };
    let name = match &*input.pat {
        Pat::Ident(pattern) => pattern.ident.clone(),
        _ => Ident::new(&format!("argument_{index}"), Span::mixed_site()),
    };
    let ty = (*input.ty).clone();
    let is_borrowed = matches!(ty, Type::Reference(_));
    Ok(Argument { name, owned: owned(&ty)?, ty, is_borrowed })
}

/// The type that the other process has of an argument.
fn owned(ty: &Type) -> Result<TokenStream, Error> {
    let complain = |words: &str| Err(Error::new_spanned(ty, words));
    match ty {
        Type::ImplTrait(_) => complain("an isolated function takes particular types, so no `impl`"),
        Type::Reference(reference) if reference.mutability.is_some() => complain(
            "what an isolated function changes stays in its own process; take it by value, and return it",
        ),
        Type::Reference(reference) if reference.lifetime.is_some() => complain(
            "what an isolated function borrows lives as long as its call; leave the lifetime out",
        ),
        Type::Reference(reference) => Ok(match &*reference.elem {
            Type::Slice(slice) => {
                let element = &slice.elem;
                quote!(::std::vec::Vec<#element>)
            }
            Type::Path(path) if path.path.is_ident("str") => quote!(::std::string::String),
            Type::Path(path) if is_last(&path.path, "Path") => quote!(::std::path::PathBuf),
            other => quote!(#other),
        }),
        other => Ok(quote!(#other)),
    }
}

fn is_last(path: &syn::Path, name: &str) -> bool {
    path.segments.last().is_some_and(|segment| segment.ident == name)
}

/// What a call gives that went well: what stands in a `Result`, or the whole.
fn value_of(output: &ReturnType) -> Result<TokenStream, Error> {
    let ReturnType::Type(_, ty) = output else { return Ok(quote!(())) };
    match &**ty {
        Type::ImplTrait(_) | Type::Reference(_) => Err(Error::new_spanned(
            ty,
            "what an isolated function returns is sent to its caller: a type of its own, neither `impl` nor borrowed",
        )),
        Type::Path(path) if is_last(&path.path, "Result") => {
            let last = path.path.segments.last().map(|segment| &segment.arguments);
            Ok(match last {
                Some(PathArguments::AngleBracketed(types)) => match types.args.first() {
                    Some(GenericArgument::Type(value)) => quote!(#value),
                    _ => quote!(#ty),
                },
                // As in `std::fmt::Result`.
                _ => quote!(()),
            })
        }
        other => Ok(quote!(#other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(attribute: &str, item: &str) -> Result<String, String> {
        let attribute: TokenStream = attribute.parse().unwrap();
        let expanded = expand(attribute, item.parse().unwrap());
        expanded.map(|code| code.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_signature_that_no_process_could_serve_is_refused_with_what_to_do() {
        for (item, words) in [
            ("async fn f() {}", "await `name::call_async(…)`"),
            ("unsafe fn f() {}", "neither `unsafe`"),
            ("extern \"C\" fn f() {}", "nor `extern`"),
            ("const fn f() {}", "neither `const`"),
            ("fn f<T>(x: T) {}", "one for each type"),
            ("fn f(&self) {}", "without `self`"),
            ("fn f(x: impl Copy) {}", "no `impl`"),
            ("fn f(x: &mut u8) {}", "take it by value"),
            ("fn f(x: &'static str) {}", "leave the lifetime out"),
            ("fn f() -> impl Copy {}", "neither `impl` nor borrowed"),
            ("fn f() -> &'static str {}", "neither `impl` nor borrowed"),
            (&format!("fn f({}) {{}}", "_: u8,".repeat(17)), "16 arguments at most"),
            ("struct F;", "expected"),
        ] {
            let error = expanded("", item).unwrap_err();
            assert!(error.contains(words), "{item}: {error}");
        }
    }

    #[test]
    fn b22_a_setting_that_is_none_is_refused_where_it_was_written() {
        for (attribute, words) in [
            (
                "memroy = \"1MiB\"",
                "`memroy` is no setting of an isolated function; there are start, memory",
            ),
            ("memory = 512", "as in `memory = \"512MiB\"`"),
            ("memory = \"512\"", "`memory` is a size"),
            ("memory = \"MiB\"", "`memory` is a size"),
            ("wall = \"10 parsecs\"", "`wall` is a time, as in `wall = \"10s\"`"),
            ("processes = \"4\"", "`processes` is a number"),
            ("processes = -1", "`processes` is a number"),
            ("proc = \"own\"", "`proc` is true or false, as in `proc = true`"),
            ("cpus = \"two\"", "`cpus` is a number, as in `cpus = 1.5`"),
            ("start = \"thread\"", "`start` is one of \"spawn\", \"fork\""),
            ("stdout = \"file\"", "\"inherit\", \"null\", \"capture\""),
            ("dir = 1", "`dir` is a text"),
            ("wall = \"1s\", wall = \"2s\"", "`wall` is said twice"),
            ("wall", "expected `=`"),
            ("require_guard = 1", "as in `require_guard = \"seccomp,landlock\"`"),
            ("optional_guard = \"\"", "`optional_guard` has names"),
            (
                "require_guard = \"tracing, seccomp\", optional_guard = \"seccomp\"",
                "the guard `seccomp` is named twice",
            ),
        ] {
            let error = expanded(attribute, "fn f() {}").unwrap_err();
            assert!(error.contains(words), "{attribute}: {error}");
        }
    }

    #[test]
    fn every_unit_is_taken_and_what_may_come_twice_may() {
        for unit in settings::SIZES {
            expanded(&format!("memory = \"1.5{unit}\", result = \"1 {unit}\""), "fn f() {}")
                .unwrap();
        }
        for unit in settings::TIMES {
            expanded(&format!("wall = \"250{unit}\""), "fn f() {}").unwrap();
        }
        expanded(
            "cpus = 0.5, proc = true, dir = \"/a\", dir = \"/b:rw\", env = \"A\", env = \"B=1\", \
             require_guard = \"seccomp\", require_guard = \"landlock, session\", optional_guard = \"tracing\"",
            "fn f() {}",
        )
        .unwrap();
    }

    #[test]
    fn the_library_is_asked_for_each_guard_that_is_named() {
        let code =
            expanded("guards = \"required\", optional_guard = \"session, moat\"", "fn f() {}")
                .unwrap();
        assert!(
            code.contains("is_guard (\"moat\")")
                && code.contains("`moat` is no guard of a process")
        );
        assert!(!expanded("guards = \"required\"", "fn f() {}").unwrap().contains("is_guard"));
    }

    #[test]
    fn the_callers_function_gives_the_value_or_why_there_is_none() {
        for (output, value) in [
            ("", "()"),
            ("-> u8", "u8"),
            ("-> Result<u8, E>", "u8"),
            ("-> anyhow::Result<Vec<u8>>", "Vec < u8 >"),
            ("-> std::fmt::Result", "()"),
        ] {
            let code = expanded("", &format!("fn f() {output} {{}}")).unwrap();
            let wanted =
                format!(":: core :: result :: Result < {value} , :: sandtrap :: CallError >");
            assert!(code.contains(&wanted), "{output}: {code}");
        }
    }

    #[test]
    fn what_is_borrowed_here_is_owned_there() {
        let code = expanded("", "fn f(a: &str, b: &[u8], c: &Big, (d, e): (u8, u8)) {}").unwrap();
        let wanted = ":: std :: string :: String , :: std :: vec :: Vec < u8 > , Big , (u8 , u8)";
        assert!(code.contains(wanted), "{code}");
    }
}
