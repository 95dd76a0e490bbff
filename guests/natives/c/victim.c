/* `victim CAUSE` dies of that cause; without one it lists the causes that it knows. */
#define _GNU_SOURCE
#include "victim.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

volatile uintptr_t hidden;
volatile int sink;

static const struct way *const ways[] = {fault_ways,  stack_ways,  instruction_ways,
                                         signal_ways, memory_ways, limit_ways};

static void *thread_main(void *body) {
    ((void (*)(void))body)();
    return NULL;
}

void in_thread(void (*body)(void), size_t stack) {
    pthread_t thread;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, stack);
    if (pthread_create(&thread, &attributes, thread_main, (void *)body) != 0)
        return;
    pthread_join(thread, NULL);
}

int main(int count, char **words) {
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
        for (const struct way *way = ways[i]; way->cause; way++) {
            if (count < 2)
                puts(way->cause);
            else if (strcmp(way->cause, words[1]) == 0) {
                way->die();
                return 0;
            }
        }
    return count < 2 ? 0 : 2;
}
