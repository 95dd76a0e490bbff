/* What runs into a limit, and what executes another program. */
#define _GNU_SOURCE
#include "victim.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void spins(void) {
    for (;;)
        sink++;
}

static void sleeps(void) {
    for (;;)
        pause();
}

static void floods(void) {
    static char block[64 * 1024];
    while (write(1, block, sizeof block) > 0)
        ;
}

static void writes_much(void) {
    int file = memfd_create("large", 0);
    static char block[1 << 20];
    while (write(file, block, sizeof block) > 0)
        ;
    _exit(11);
}

static void forks(void) {
    for (;;)
        if (fork() < 0)
            _exit(10);
}

static void execute(const char *cause) {
    char *words[] = {"victim", (char *)cause, NULL};
    execv(program_invocation_name, words);
    _exit(9);
}

static void executes_reader(void) { execute("null-read"); }

static void *executing_thread(void) {
    execute("recursion");
    return NULL;
}

static void runs_executing_thread(void) { executing_thread(); }
static void executes_from_thread(void) { in_thread(runs_executing_thread, 256 * 1024); }

/* The beginning of an executable whose one segment wants more address space than it may have. */
static void executes_too_large(void) {
    struct {
        unsigned char ident[16];
        unsigned short type, machine;
        unsigned int version;
        unsigned long entry, program_headers, section_headers;
        unsigned int flags;
        unsigned short size, header_size, header_count, section_size, section_count, names;
        unsigned int kind, segment_flags;
        unsigned long offset, address, physical, in_file, in_memory, align;
    } image = {
        .ident = {0x7f, 'E', 'L', 'F', 2, 1, 1},
        .type = 2,
        .machine = 62,
        .version = 1,
        .entry = 0x400000,
        .program_headers = 64,
        .size = 64,
        .header_size = 56,
        .header_count = 1,
        .kind = 1,
        .segment_flags = 6,
        .address = 0x400000,
        .in_file = 120,
        .in_memory = 1UL << 30,
        .align = 4096,
    };
    const char *name = "/scratch/large";
    int file = open(name, O_CREAT | O_WRONLY | O_CLOEXEC, 0700);
    if (write(file, &image, 120) != 120 || close(file) != 0)
        _exit(8);
    char *words[] = {"large", NULL}, *none[] = {NULL};
    execve(name, words, none);
    _exit(7);
}

const struct way limit_ways[] = {
    {"spins", spins},
    {"sleeps", sleeps},
    {"spins-on-cpu", spins},
    {"floods", floods},
    {"writes-much", writes_much},
    {"forks", forks},
    {"executes-reader", executes_reader},
    {"executes-from-thread", executes_from_thread},
    {"executes-too-large", executes_too_large},
    {NULL, NULL},
};
