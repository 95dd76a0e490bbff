//! Arguments and results of the specification's tests.

use sandtrap::Value;
use wasm_encoder::{HeapType, Instruction};
use wast::core::{NanPattern, V128Pattern, WastArgCore, WastRetCore};
use wast::token::{F32, F64};
use wast::{WastArg, WastRet};

/// The instructions that make an argument. What only a host can make is a number here, which can be told apart as
/// well. `None` for what is not offered.
pub(super) fn instructions(argument: &WastArg<'_>) -> Option<Vec<Instruction<'static>>> {
    let WastArg::Core(argument) = argument else { return None };
    Some(vec![match argument {
        WastArgCore::I32(value) => Instruction::I32Const(*value),
        WastArgCore::I64(value) => Instruction::I64Const(*value),
        WastArgCore::F32(value) => Instruction::F32Const(f32::from_bits(value.bits).into()),
        WastArgCore::F64(value) => Instruction::F64Const(f64::from_bits(value.bits).into()),
        WastArgCore::V128(value) => {
            Instruction::V128Const(i128::from_le_bytes(value.to_le_bytes()))
        }
        WastArgCore::RefNull(wast::core::HeapType::Abstract { shared: false, ty }) => {
            Instruction::RefNull(match ty {
                wast::core::AbstractHeapType::Func => HeapType::FUNC,
                wast::core::AbstractHeapType::Extern => HeapType::EXTERN,
                wast::core::AbstractHeapType::Any => HeapType::ANY,
                wast::core::AbstractHeapType::Exn => {
                    HeapType::Abstract { shared: false, ty: wasm_encoder::AbstractHeapType::Exn }
                }
                _ => return None,
            })
        }
        WastArgCore::RefHost(value) => return Some(number(*value).into()),
        WastArgCore::RefExtern(value) => {
            return Some([&number(*value)[..], &[Instruction::ExternConvertAny]].concat());
        }
        WastArgCore::RefNull(_) => return None,
    }])
}

/// Whether an argument is a reference that only a host can make.
pub(super) fn is_of_the_host(argument: &WastArg<'_>) -> bool {
    matches!(argument, WastArg::Core(WastArgCore::RefHost(_) | WastArgCore::RefExtern(_)))
}

fn number(value: u32) -> [Instruction<'static>; 2] {
    [Instruction::I32Const(value.cast_signed()), Instruction::RefI31]
}

/// Whether what came back is what was expected. `None` where that can't be told from integers.
pub(super) fn agree(expected: &[WastRet<'_>], mut found: &[Value]) -> Option<bool> {
    let mut all = true;
    for expected in expected {
        let WastRet::Core(expected) = expected else { return None };
        let (agrees, rest) = one(expected, found)?;
        all &= agrees;
        found = rest;
    }
    Some(all && found.is_empty())
}

fn one<'v>(expected: &WastRetCore<'_>, found: &'v [Value]) -> Option<(bool, &'v [Value])> {
    let integer = || match found.first()? {
        Value::I32(value) => Some(u64::from(value.cast_unsigned())),
        Value::I64(value) => Some(value.cast_unsigned()),
        Value::F32(_) | Value::F64(_) => None,
    };
    let agrees = match expected {
        WastRetCore::I32(value) => integer()? == u64::from(value.cast_unsigned()),
        WastRetCore::I64(value) => integer()? == value.cast_unsigned(),
        WastRetCore::F32(pattern) => single(pattern, u32::try_from(integer()?).ok()?),
        WastRetCore::F64(pattern) => double(pattern, integer()?),
        WastRetCore::V128(pattern) => {
            let [Value::I64(low), Value::I64(high), rest @ ..] = found else { return None };
            let bytes = [low.to_le_bytes(), high.to_le_bytes()].concat();
            return Some((vector(pattern, &bytes), rest));
        }
        WastRetCore::RefNull(_) => integer()? == 1,
        WastRetCore::RefFunc(_)
        | WastRetCore::RefExtern(_)
        | WastRetCore::RefHost(_)
        | WastRetCore::RefAny
        | WastRetCore::RefEq
        | WastRetCore::RefArray
        | WastRetCore::RefStruct
        | WastRetCore::RefI31 => integer()? == 0,
        WastRetCore::Either(all) => {
            let (mut any, mut rest) = (false, found);
            for expected in all {
                let (agrees, behind) = one(expected, found)?;
                any |= agrees;
                rest = behind;
            }
            return Some((any, rest));
        }
        _ => return None,
    };
    Some((agrees, &found[1..]))
}

fn single(pattern: &NanPattern<F32>, bits: u32) -> bool {
    const QUIET: u32 = 0x7fc0_0000;
    match pattern {
        NanPattern::CanonicalNan => bits & 0x7fff_ffff == QUIET,
        NanPattern::ArithmeticNan => bits & QUIET == QUIET,
        NanPattern::Value(value) => bits == value.bits,
    }
}

fn double(pattern: &NanPattern<F64>, bits: u64) -> bool {
    const QUIET: u64 = 0x7ff8_0000_0000_0000;
    match pattern {
        NanPattern::CanonicalNan => bits & 0x7fff_ffff_ffff_ffff == QUIET,
        NanPattern::ArithmeticNan => bits & QUIET == QUIET,
        NanPattern::Value(value) => bits == value.bits,
    }
}

fn vector(pattern: &V128Pattern, bytes: &[u8]) -> bool {
    let word = |lane: usize| u32::from_le_bytes(bytes[lane * 4..][..4].try_into().expect("four"));
    let long = |lane: usize| u64::from_le_bytes(bytes[lane * 8..][..8].try_into().expect("eight"));
    match pattern {
        V128Pattern::I8x16(lanes) => {
            lanes.iter().flat_map(|lane| lane.to_le_bytes()).eq(bytes.iter().copied())
        }
        V128Pattern::I16x8(lanes) => {
            lanes.iter().flat_map(|lane| lane.to_le_bytes()).eq(bytes.iter().copied())
        }
        V128Pattern::I32x4(lanes) => {
            lanes.iter().flat_map(|lane| lane.to_le_bytes()).eq(bytes.iter().copied())
        }
        V128Pattern::I64x2(lanes) => {
            lanes.iter().flat_map(|lane| lane.to_le_bytes()).eq(bytes.iter().copied())
        }
        V128Pattern::F32x4(lanes) => {
            lanes.iter().enumerate().all(|(at, lane)| single(lane, word(at)))
        }
        V128Pattern::F64x2(lanes) => {
            lanes.iter().enumerate().all(|(at, lane)| double(lane, long(at)))
        }
    }
}
