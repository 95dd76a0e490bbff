/* Signals that it sends itself, ends of its own making, and filters. */
#define _GNU_SOURCE
#include "victim.h"

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void completes(void) {}
static void exit_3(void) { _exit(3); }
static void exit_139(void) { _exit(139); }

static void lies(void) {
    fputs("Segmentation fault (core dumped)\n", stderr);
    _exit(139);
}

static void aborts(void) { abort(); }
static void thread_aborts(void) { in_thread(aborts, 256 * 1024); }
static void fails_assertion(void) { assert(hidden == 1); }

static void frees_what_is_no_block(void) {
    hidden = (uintptr_t)malloc(100) + 1;
    free((char *)hidden);
}

/* Other C libraries don't notice, and fault. */
#ifdef __GLIBC__
static void frees_twice(void) {
    char *block = malloc(100);
    hidden = (uintptr_t)block;
    free((char *)hidden);
    free((char *)hidden);
}
#endif

static void raises_segv(void) { raise(SIGSEGV); }
static void raises_fpe(void) { raise(SIGFPE); }
static void raises_ill(void) { kill(getpid(), SIGILL); }
static void raises_sys(void) { raise(SIGSYS); }
static void kills_itself(void) { kill(getpid(), SIGKILL); }
static void terminates_itself(void) { raise(SIGTERM); }
static void thread_kills(void) { in_thread(kills_itself, 256 * 1024); }

static void queues_kill(void) {
    siginfo_t info = {0};
    info.si_code = SI_QUEUE;
    syscall(SYS_rt_sigqueueinfo, getpid(), SIGKILL, &info);
}

static void kills_by_descriptor(void) {
    long self = syscall(SYS_pidfd_open, getpid(), 0);
    syscall(SYS_pidfd_send_signal, self, SIGKILL, NULL, 0);
}

/* A signal to itself that says the kernel sent it for an address. */
static void forges_fault(void) {
    siginfo_t info = {0};
    info.si_code = 1; /* SEGV_MAPERR */
    info.si_addr = (void *)0x1000;
    syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), SIGSEGV, &info);
}

/* As in <linux/filter.h> and <linux/seccomp.h>, which not every C library brings along. */
struct instruction {
    unsigned short code;
    unsigned char jump, jump_if_not;
    unsigned int operand;
};
#define LOAD 0x20
#define JUMP_IF_EQUAL 0x15
#define RETURN 0x06
#define KILL_PROCESS 0x80000000u
#define TRAP 0x00030000u
#define ALLOW 0x7fff0000u

static void filter(unsigned int action) {
    struct instruction program[] = {
        {LOAD, 0, 0, 0}, /* the number of the call */
        {JUMP_IF_EQUAL, 0, 1, SYS_getppid},
        {RETURN, 0, 0, action},
        {RETURN, 0, 0, ALLOW},
    };
    struct {
        unsigned short length;
        struct instruction *program;
    } whole = {sizeof program / sizeof *program, program};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (prctl(PR_SET_SECCOMP, 2, &whole) != 0)
        _exit(9);
}

static void filtered(void) {
    filter(KILL_PROCESS);
    syscall(SYS_getppid);
}

static void filtered_trap(void) {
    filter(TRAP);
    syscall(SYS_getppid);
}

static void call_parent(void) { syscall(SYS_getppid); }

static void filtered_thread(void) {
    filter(KILL_PROCESS);
    in_thread(call_parent, 256 * 1024);
}

/* The signals of a child are the child's. */
static void child_faults(void) {
    pid_t child = fork();
    if (child < 0)
        _exit(9);
    if (child == 0) {
        hidden = 16;
        sink = *(volatile int *)hidden;
        _exit(0);
    }
    int status;
    waitpid(child, &status, 0);
    _exit(WIFSIGNALED(status) ? 3 : 4);
}

/* Somebody else will: it says so, and waits. */
static void waits(void) {
    if (write(1, "ready", 5) == 5)
        for (;;)
            pause();
}

const struct way signal_ways[] = {
    {"completes", completes},
    {"exit-3", exit_3},
    {"exit-139", exit_139},
    {"lies", lies},
    {"abort", aborts},
    {"thread-abort", thread_aborts},
    {"assertion", fails_assertion},
    {"invalid-free", frees_what_is_no_block},
#ifdef __GLIBC__
    {"double-free", frees_twice},
#endif
    {"raise-segv", raises_segv},
    {"raise-fpe", raises_fpe},
    {"kill-ill", raises_ill},
    {"raise-sys", raises_sys},
    {"kill-itself", kills_itself},
    {"thread-kills", thread_kills},
    {"queue-kill", queues_kill},
    {"pidfd-kill", kills_by_descriptor},
    {"terminate-itself", terminates_itself},
    {"forged-fault", forges_fault},
    {"filtered", filtered},
    {"filtered-trap", filtered_trap},
    {"filtered-thread", filtered_thread},
    {"child-faults", child_faults},
    {"killed-from-outside", waits},
    {"terminated-from-outside", waits},
    {"faulted-from-outside", waits},
    {NULL, NULL},
};
