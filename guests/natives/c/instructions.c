/* Instructions that have no result, or that are none. */
#define _GNU_SOURCE
#include "victim.h"

#include <limits.h>

static void divide_by_zero(void) {
    volatile int divisor = 0;
    sink = 7 / divisor;
}

static void overflowing_division(void) {
    volatile int number = INT_MIN, divisor = -1;
    sink = number / divisor;
}

static void float_exception(void) {
    unsigned int control = 0x1f80 & ~0x0200u; /* division by zero is not masked any more */
    __asm__ volatile("ldmxcsr %0" ::"m"(control));
    volatile double zero = 0, one = 1;
    volatile double result = one / zero;
    (void)result;
}

static void ud2(void) { __builtin_trap(); }
/* What clang puts where -fsanitize-trap found something. */
static void ud1(void) { __asm__ volatile(".byte 0x67, 0x0f, 0xb9, 0x40, 0x0c"); }
static void breakpoint(void) { __asm__ volatile("int3"); }
static void undecodable(void) { __asm__ volatile(".byte 0x06"); }
static void privileged(void) { __asm__ volatile("cli"); }
static void reads_port(void) { __asm__ volatile("inb $0x60, %%al" ::: "al"); }
static void unknown_interrupt(void) { __asm__ volatile("int $0x21"); }
/* What musl puts into its `a_crash`. */
static void halt(void) { __asm__ volatile("hlt"); }

const struct way instruction_ways[] = {
    {"divide-by-zero", divide_by_zero},
    {"overflowing-division", overflowing_division},
    {"float-exception", float_exception},
    {"ud2", ud2},
    {"ud1", ud1},
    {"breakpoint", breakpoint},
    {"undecodable", undecodable},
    {"privileged", privileged},
    {"reads-port", reads_port},
    {"unknown-interrupt", unknown_interrupt},
    {"halt", halt},
    {NULL, NULL},
};
