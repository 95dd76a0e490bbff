//! Numbers that go into and come out of an export as they are, by their Rust types.

use wasmtime::{ValType, WasmParams, WasmResults};

use crate::task::Value;

/// Numbers as the engine passes them. What is public about it is `crate::function::Numbers`.
pub trait Passed: WasmParams + WasmResults + Copy + 'static {
    /// Their types.
    fn types() -> Vec<ValType>;

    /// They as values.
    fn values(self) -> Vec<Value>;

    /// And back. `None` if these are others.
    fn from_values(values: &[Value]) -> Option<Self>;
}

macro_rules! number {
    ($ty:ty, $variant:ident) => {
        impl Passed for $ty {
            fn types() -> Vec<ValType> {
                vec![ValType::$variant]
            }

            fn values(self) -> Vec<Value> {
                vec![Value::$variant(self)]
            }

            fn from_values(values: &[Value]) -> Option<Self> {
                match values {
                    [Value::$variant(value)] => Some(*value),
                    _ => None,
                }
            }
        }
    };
}

number!(i32, I32);
number!(i64, I64);
number!(f32, F32);
number!(f64, F64);

macro_rules! numbers {
    ($count:literal $($ty:ident $place:tt)*) => {
        impl<$($ty: Passed + wasmtime::WasmTy),*> Passed for ($($ty,)*) {
            fn types() -> Vec<ValType> {
                [$($ty::types()),*].concat()
            }

            fn values(self) -> Vec<Value> {
                [$(self.$place.values()),*].concat()
            }

            fn from_values(values: &[Value]) -> Option<Self> {
                if values.len() != $count {
                    return None;
                }
                Some(($($ty::from_values(&values[$place..=$place])?,)*))
            }
        }
    };
}

numbers!(1 A 0);
numbers!(2 A 0 B 1);
numbers!(3 A 0 B 1 C 2);
numbers!(4 A 0 B 1 C 2 D 3);
numbers!(5 A 0 B 1 C 2 D 3 E 4);
numbers!(6 A 0 B 1 C 2 D 3 E 4 F 5);
numbers!(7 A 0 B 1 C 2 D 3 E 4 F 5 G 6);
numbers!(8 A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7);

impl Passed for () {
    fn types() -> Vec<ValType> {
        Vec::new()
    }

    fn values(self) -> Vec<Value> {
        Vec::new()
    }

    fn from_values(values: &[Value]) -> Option<Self> {
        values.is_empty().then_some(())
    }
}
