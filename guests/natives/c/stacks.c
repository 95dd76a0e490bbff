/* Stacks that run out, and stacks that were damaged, which is not the same. */
#define _GNU_SOURCE
#include "victim.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SMALL (256 * 1024)

__attribute__((noinline)) static int descend(int depth) {
    if (depth == -1)
        return (int)hidden;
    return descend(depth + 1) + sink;
}

__attribute__((noinline)) static int descend_wide(int depth) {
    volatile char frame[4096];
    frame[depth & 4095] = (char)depth;
    if (depth == -1)
        return (int)hidden;
    return descend_wide(depth + 1) + frame[7];
}

/* One frame of many pages, used from its far end: no page on the way is touched. */
__attribute__((noinline)) static void huge_frame(size_t size) {
    hidden = size;
    volatile char *frame = __builtin_alloca(hidden);
    frame[0] = 1;
    sink = frame[0];
}

__attribute__((noinline)) static int called_from_huge_frame(int depth) { return depth + sink; }

/* The same, where a call is what touches it first. */
__attribute__((noinline)) static void huge_frame_calls(void) {
    volatile char frame[3 * 1024 * 1024];
    hidden = (uintptr_t)frame;
    sink = called_from_huge_frame(1);
}

static void recursion(void) { sink = descend(0); }
static void wide_recursion(void) { sink = descend_wide(0); }
static void huge(void) { huge_frame(1536 * 1024); }
static void thread_recursion(void) { in_thread(recursion, SMALL); }
static void thread_wide_recursion(void) { in_thread(wide_recursion, SMALL); }
static void *beyond(void *nothing) {
    huge_frame(2 * SMALL);
    return nothing;
}

/* One frame leads far below a thread's stack. Below that is room that nobody may use: else what the frame would
   damage is up to chance. */
static void thread_frame(void) {
    char *room = mmap(NULL, 8 * SMALL, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(room + 7 * SMALL, SMALL, PROT_READ | PROT_WRITE);
    pthread_t thread;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstack(&attributes, room + 7 * SMALL, SMALL);
    if (pthread_create(&thread, &attributes, beyond, NULL) == 0)
        pthread_join(thread, NULL);
}

static void on_other_stack(int signal, void (*then)(int)) {
    static char other[64 * 1024];
    stack_t stack = {.ss_sp = other, .ss_size = sizeof other};
    sigaltstack(&stack, NULL);
    struct sigaction action = {.sa_handler = then, .sa_flags = SA_ONSTACK};
    sigaction(signal, &action, NULL);
}

static void quit(int signal) { _exit(signal + 39); }

static void give_up(int signal) {
    (void)signal;
    abort();
}

static void handled_overflow(void) {
    on_other_stack(SIGSEGV, quit);
    recursion();
}

static void overflow_aborts(void) {
    on_other_stack(SIGSEGV, give_up);
    recursion();
}

/* The stack pointer itself was overwritten, as by a `leave` after the saved frame pointer was. */
static void lost_stack_pointer(void) {
    __asm__ volatile("mov %0, %%rsp\n\tpush %%rax" ::"r"((uintptr_t)0x414141414140));
}

static void noncanonical_stack_pointer(void) {
    __asm__ volatile("mov %0, %%rsp\n\tpush %%rax" ::"r"((uintptr_t)0x4141414141414140));
}

/* A stack whose pages somebody hands out who never does: whoever reads them waits. */
static void withheld_stack(void) {
    size_t length = 64 * 1024;
    char *room = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct {
        unsigned long version, features, answer;
    } hello = {.version = 0xaa};
    struct {
        unsigned long start, length, mode, answer;
    } range = {(unsigned long)room, length, 1, 0};
    /* Where this is not allowed the pages are plain ones, and the end is the same. */
    int file = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
    ioctl(file, 0xc018aa3f, &hello);
    ioctl(file, 0xc020aa00, &range);
    __asm__ volatile("lea 4096(%0), %%rsp\n\tmov %%rsp, %%rbp\n\tmov (%1), %%eax" ::"r"(room),
                     "r"(hidden)
                     : "eax");
}

/* A return address was overwritten. */
static void smashed_return(void) {
    __asm__ volatile("push %0\n\tret" ::"r"((uintptr_t)0x414141414141));
}

static void smashed_return_wide(void) {
    __asm__ volatile("push %0\n\tret" ::"r"((uintptr_t)0x4141414141414141));
}

/* The same by a copy that is too long, in a function that checks for it. */
__attribute__((noinline, optimize("stack-protector-all"))) static void fill(size_t length) {
    char small[16];
    hidden = (uintptr_t)small;
    memset((char *)hidden, 'A', length);
}

static void protected_smash(void) {
    hidden = 64;
    fill(hidden);
}

const struct way stack_ways[] = {
    {"recursion", recursion},
    {"wide-recursion", wide_recursion},
    {"huge-frame", huge},
    {"huge-frame-calls", huge_frame_calls},
    {"thread-recursion", thread_recursion},
    {"thread-wide-recursion", thread_wide_recursion},
    {"thread-frame", thread_frame},
    {"handled-overflow", handled_overflow},
    {"overflow-aborts", overflow_aborts},
    {"lost-stack-pointer", lost_stack_pointer},
    {"noncanonical-stack-pointer", noncanonical_stack_pointer},
    {"withheld-stack", withheld_stack},
    {"smashed-return", smashed_return},
    {"smashed-return-wide", smashed_return_wide},
    {"protected-smash", protected_smash},
    {NULL, NULL},
};
