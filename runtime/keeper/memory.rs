//! The four functions that the compiler calls behind everybody's back.

/// As in C.
///
/// # Safety
///
/// As in C.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    for at in 0..count {
        // SAFETY: both hold `count` bytes, the caller says.
        unsafe { *to.wrapping_add(at) = *from.wrapping_add(at) };
    }
    to
}

/// As in C.
///
/// # Safety
///
/// As in C.
#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    if (to as usize) <= from as usize {
        // SAFETY: the same contract; forwards is right when the target lies before the source.
        return unsafe { memcpy(to, from, count) };
    }
    for at in (0..count).rev() {
        // SAFETY: both hold `count` bytes, the caller says.
        unsafe { *to.wrapping_add(at) = *from.wrapping_add(at) };
    }
    to
}

/// As in C.
///
/// # Safety
///
/// As in C.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, byte: i32, count: usize) -> *mut u8 {
    for at in 0..count {
        // SAFETY: it holds `count` bytes, the caller says.
        unsafe { *to.wrapping_add(at) = byte as u8 };
    }
    to
}

/// As in C.
///
/// # Safety
///
/// As in C.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(one: *const u8, other: *const u8, count: usize) -> i32 {
    for at in 0..count {
        // SAFETY: both hold `count` bytes, the caller says.
        let (one, other) = unsafe { (*one.wrapping_add(at), *other.wrapping_add(at)) };
        if one != other {
            return i32::from(one) - i32::from(other);
        }
    }
    0
}
