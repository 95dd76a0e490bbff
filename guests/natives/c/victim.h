/* One program that knows many ways to die: `victim CAUSE`. Each way is a function, listed in victim.c. */
#ifndef VICTIM_H
#define VICTIM_H

#include <stddef.h>
#include <stdint.h>

struct way {
    const char *cause;
    void (*die)(void);
};

/* Ends with a way without a name. */
extern const struct way fault_ways[];
extern const struct way stack_ways[];
extern const struct way instruction_ways[];
extern const struct way signal_ways[];
extern const struct way memory_ways[];
extern const struct way limit_ways[];

/* Runs `body` in a second thread and waits for it. */
void in_thread(void (*body)(void), size_t stack);

/* The compiler knows nothing about what comes out of here. */
extern volatile uintptr_t hidden;
extern volatile int sink;

#endif
