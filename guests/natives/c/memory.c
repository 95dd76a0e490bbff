/* Memory that runs out, for it or for a child of it. */
#define _GNU_SOURCE
#include "victim.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static void hog(void) {
    for (;;) {
        char *piece = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (piece == MAP_FAILED)
            _exit(12);
        memset(piece, 1, 1 << 20);
    }
}

static void thread_hog(void) { in_thread(hog, 256 * 1024); }

static void kernel_hog(void) {
    for (;;) {
        int ends[2];
        int file = memfd_create("filled", 0);
        if (file < 0 || pipe(ends) != 0)
            _exit(12);
        static char block[1 << 20];
        memset(block, 1, sizeof block);
        if (write(file, block, sizeof block) < 0)
            _exit(13);
        close(ends[0]);
        close(ends[1]);
        dup(file);
        if (mmap(NULL, sizeof block, PROT_READ, MAP_SHARED, file, 0) == MAP_FAILED)
            _exit(14);
        close(file);
    }
}

static int child_hogs(void) {
    pid_t child = fork();
    if (child < 0)
        _exit(9);
    if (child == 0)
        hog();
    int status;
    waitpid(child, &status, 0);
    return WIFSIGNALED(status);
}

static void lives_on(void) { _exit(child_hogs() ? 0 : 4); }

static void fails_after_child(void) { _exit(child_hogs() ? 3 : 4); }

static void kills_itself_after_child(void) {
    child_hogs();
    kill(getpid(), SIGKILL);
}

static void aborts_after_child(void) {
    child_hogs();
    abort();
}

static void faults_after_child(void) {
    child_hogs();
    hidden = 16;
    sink = *(volatile int *)hidden;
}

static void waits_after_child(void) {
    child_hogs();
    if (write(1, "ready", 5) == 5)
        for (;;)
            pause();
}

static void uses_null(void) {
    for (;;) {
        char *piece = malloc(1 << 20);
        *(volatile char *)piece = 1;
        memset(piece, 1, 1 << 20);
        hidden = (uintptr_t)piece;
    }
}

static void aborts_when_refused(void) {
    for (;;) {
        char *piece = malloc(1 << 20);
        if (!piece)
            abort();
        memset(piece, 1, 1 << 20);
        hidden = (uintptr_t)piece;
    }
}

static void copes_when_refused(void) {
    while (mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) !=
           MAP_FAILED)
        ;
    _exit(0);
}

const struct way memory_ways[] = {
    {"hog", hog},
    {"thread-hog", thread_hog},
    {"kernel-hog", kernel_hog},
    {"child-hogs", lives_on},
    {"child-hogs-then-fails", fails_after_child},
    {"child-hogs-then-kills-itself", kills_itself_after_child},
    {"child-hogs-then-aborts", aborts_after_child},
    {"child-hogs-then-faults", faults_after_child},
    {"child-hogs-then-killed-from-outside", waits_after_child},
    {"refused-null", uses_null},
    {"refused-abort", aborts_when_refused},
    {"refused-copes", copes_when_refused},
    {NULL, NULL},
};
