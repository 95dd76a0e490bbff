/* Accesses to memory that is not there, or not for that. */
#define _GNU_SOURCE
#include "victim.h"

#include <emmintrin.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define WILD 0x414141410000

static int *at(uintptr_t address) {
    hidden = address;
    return (int *)hidden;
}

static void read_at(uintptr_t address) { sink = *(volatile int *)at(address); }
static void write_at(uintptr_t address) { *(volatile int *)at(address) = 42; }

static void call_at(uintptr_t address) {
    hidden = address;
    ((void (*)(void))hidden)();
    sink = 1; /* not a tail call */
}

static void null_read(void) { read_at(0); }
static void null_write(void) { write_at(0); }
static void null_field(void) { read_at(4000); }
static void null_call(void) { call_at(0); }
static void wild_read(void) { read_at(WILD); }
static void wild_write(void) { write_at(WILD); }
static void wild_call(void) { call_at(WILD); }
/* In one instruction, which both reads and writes. */
static void wild_add(void) { __asm__ volatile("addl $3, (%0)" ::"r"(at(WILD))); }
static void wild_copy(void) { memcpy(at(WILD), (void *)&hidden, 8); }
static void wild_fill(void) { memset(at(WILD), 7, 4096); }
static void wild_strlen(void) { sink = (int)strlen((char *)at(WILD)); }
static void noncanonical_read(void) { read_at(0x8000000000001000); }
static void noncanonical_write(void) { write_at(0x8000000000001000); }
static void noncanonical_call(void) { call_at(0x8000000000001000); }

static void use_after_unmap(void) {
    char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(page, 4096);
    read_at((uintptr_t)page);
}

static void protected_read(void) {
    read_at((uintptr_t)mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
}

static const int constant[4] = {1, 2, 3, 4};
static void write_constant(void) { write_at((uintptr_t)constant); }
static void write_code(void) { write_at((uintptr_t)write_constant); }

static unsigned char data[16] = {0xc3};
static void run_data(void) { call_at((uintptr_t)data); }

static void misaligned_vector(void) {
    static char buffer[64] __attribute__((aligned(64)));
    _mm_store_si128((__m128i *)at((uintptr_t)buffer + 1), _mm_set1_epi8(7));
}

static void past_file_end(void) {
    int file = memfd_create("short", 0);
    if (ftruncate(file, 4096) != 0)
        _exit(9);
    char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    read_at((uintptr_t)page + 4096);
}

static void thread_read(void) { in_thread(wild_read, 256 * 1024); }

static sigjmp_buf back;
static void jump(int signal) { siglongjmp(back, signal); }

static void mended_fault(void) {
    signal(SIGSEGV, jump);
    if (sigsetjmp(back, 1) == 0)
        wild_read();
}

static void mended_then_aborts(void) {
    mended_fault();
    abort();
}

static void mended_then_exits(void) {
    mended_fault();
    _exit(3);
}

static void quit(int signal) { _exit(signal + 39); }

static void handler_exits(void) {
    signal(SIGSEGV, quit);
    wild_read();
}

static void give_up(int signal) {
    (void)signal;
    abort();
}

static void handler_aborts(void) {
    signal(SIGSEGV, give_up);
    wild_read();
}

const struct way fault_ways[] = {
    {"null-read", null_read},
    {"null-write", null_write},
    {"null-field", null_field},
    {"null-call", null_call},
    {"wild-read", wild_read},
    {"wild-write", wild_write},
    {"wild-call", wild_call},
    {"wild-add", wild_add},
    {"wild-copy", wild_copy},
    {"wild-fill", wild_fill},
    {"wild-strlen", wild_strlen},
    {"noncanonical-read", noncanonical_read},
    {"noncanonical-write", noncanonical_write},
    {"noncanonical-call", noncanonical_call},
    {"use-after-unmap", use_after_unmap},
    {"protected-read", protected_read},
    {"write-constant", write_constant},
    {"write-code", write_code},
    {"run-data", run_data},
    {"misaligned-vector", misaligned_vector},
    {"past-file-end", past_file_end},
    {"thread-read", thread_read},
    {"mended-fault", mended_fault},
    {"mended-then-aborts", mended_then_aborts},
    {"mended-then-exits", mended_then_exits},
    {"handler-exits", handler_exits},
    {"handler-aborts", handler_aborts},
    {NULL, NULL},
};
