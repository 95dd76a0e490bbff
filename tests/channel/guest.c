/* A guest in C, written from docs/channel.md and nothing else. */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { RAW = 0, JSON = 2, WARNING = 2 };

static int channel = -1;

static void put(const void *bytes, size_t length) {
    const char *at = bytes;
    while (length > 0) {
        ssize_t sent = write(channel, at, length);
        if (sent <= 0) exit(1);
        at += sent;
        length -= (size_t)sent;
    }
}

static int get(void *bytes, size_t length) {
    char *at = bytes;
    while (length > 0) {
        ssize_t got = read(channel, at, length);
        if (got <= 0) return 0;
        at += got;
        length -= (size_t)got;
    }
    return 1;
}

/* The fields of a frame that is being written. */
struct head {
    unsigned char bytes[1024];
    size_t length;
};

static void put_byte(struct head *head, unsigned char byte) { head->bytes[head->length++] = byte; }

static void put_number(struct head *head, uint64_t value) {
    for (; value > 0x7f; value >>= 7) put_byte(head, (unsigned char)(value & 0x7f) | 0x80);
    put_byte(head, (unsigned char)value);
}

static void put_text(struct head *head, const char *text) {
    size_t length = strlen(text);
    put_number(head, length);
    memcpy(head->bytes + head->length, text, length);
    head->length += length;
}

static void send_frame(const struct head *head, const void *tail, size_t length) {
    uint32_t all = (uint32_t)(head->length + length);
    unsigned char prefix[4] = {all & 0xff, all >> 8 & 0xff, all >> 16 & 0xff, all >> 24};
    put(prefix, sizeof prefix);
    put(head->bytes, head->length);
    put(tail, length);
}

static uint64_t take_number(const unsigned char **at) {
    uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
        unsigned char byte = *(*at)++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) return value;
    }
}

static void fail(const char *message, const char *cause) {
    struct head head = {{1}, 1};
    put_text(&head, message);
    put_number(&head, cause != NULL);
    if (cause) put_text(&head, cause);
    send_frame(&head, NULL, 0);
}

static void give(uint64_t call, unsigned char codec, const void *value, size_t length) {
    struct head head = {{5}, 1};
    put_number(&head, call);
    put_byte(&head, codec);
    send_frame(&head, value, length);
}

static void add(uint64_t call, char *input) {
    long long a, b;
    char sum[32];
    if (sscanf(input, " [ %lld , %lld ]", &a, &b) != 2) {
        fail("`add` takes two whole numbers", NULL);
        return;
    }
    give(call, JSON, sum, (size_t)snprintf(sum, sizeof sum, "%lld", a + b));
}

static void count(uint64_t call, char *input) {
    uint64_t to = strtoull(input, NULL, 10);
    char text[32];
    for (uint64_t item = 0; item < to; item++) {
        struct head emit = {{7}, 1}, progress = {{9}, 1};
        put_number(&emit, call);
        put_byte(&emit, JSON);
        send_frame(&emit, text, (size_t)snprintf(text, sizeof text, "%llu", (unsigned long long)item));
        put_number(&progress, item + 1);
        put_byte(&progress, 1);
        put_number(&progress, to);
        send_frame(&progress, "counting", 8);
    }
    struct head log = {{8, WARNING}, 2};
    send_frame(&log, "that was all", 12);
    give(call, JSON, input, strlen(input));
}

static void reverse(uint64_t call, char *input, size_t length) {
    for (size_t left = 0; left < length / 2; left++) {
        char byte = input[left];
        input[left] = input[length - 1 - left];
        input[length - 1 - left] = byte;
    }
    give(call, RAW, input, length);
}

/* Reads a whole frame. There is one more byte behind it, which is 0. */
static unsigned char *get_frame(size_t *length) {
    unsigned char prefix[4];
    if (!get(prefix, sizeof prefix)) return NULL;
    *length = prefix[0] | prefix[1] << 8 | prefix[2] << 16 | (size_t)prefix[3] << 24;
    unsigned char *frame = malloc(*length + 1);
    if (!frame || !get(frame, *length)) exit(1);
    frame[*length] = 0;
    return frame;
}

/* Whether the host has said that there will be no more calls. */
static int is_last;

/* Has the host look up a key, which is JSON. */
static void look_up(uint64_t call, char *key) {
    struct head question = {{10, 77, JSON}, 3};
    put_text(&question, "kv.get");
    send_frame(&question, key, strlen(key));
    size_t length;
    unsigned char *frame;
    while ((frame = get_frame(&length))) {
        const unsigned char *at = frame + 1;
        if (frame[0] == 4) is_last = 1;
        if (frame[0] == 2 && take_number(&at) == 77) {
            int is_result = *at++;
            uint64_t codec = take_number(&at);
            if (is_result) give(call, (unsigned char)codec, at, length - (size_t)(at - frame));
            else fail((const char *)at, NULL);
            free(frame);
            return;
        }
        free(frame);
    }
}

static void answer(unsigned char *frame, size_t length) {
    const unsigned char *at = frame + 1;
    uint64_t call = take_number(&at), codec = take_number(&at);
    char name[1024];
    take_number(&at);
    size_t name_length = take_number(&at);
    memcpy(name, at, name_length);
    name[name_length] = 0;
    char *input = (char *)at + name_length;
    size_t input_length = length - (size_t)((unsigned char *)input - frame);
    if (!strcmp(name, "add") && codec == JSON) add(call, input);
    else if (!strcmp(name, "count") && codec == JSON) count(call, input);
    else if (!strcmp(name, "reverse") && codec == RAW) reverse(call, input, input_length);
    else if (!strcmp(name, "look_up") && codec == JSON) look_up(call, input);
    else if (!strcmp(name, "fail")) fail("no number", "it is no digit");
    else fail("there is no such function; there are add, count, look_up and fail, and reverse for raw bytes", NULL);
}

int main(void) {
    const char *number = getenv("SANDTRAP_CHANNEL");
    if (!number) return 2;
    channel = atoi(number);
    struct head hello = {{0, 1}, 2}, functions = {{4}, 1};
    send_frame(&hello, NULL, 0);
    put_number(&functions, 5);
    put_text(&functions, "add");
    put_text(&functions, "count");
    put_text(&functions, "reverse");
    put_text(&functions, "fail");
    put_text(&functions, "look_up");
    send_frame(&functions, NULL, 0);
    size_t length;
    unsigned char *frame;
    while (!is_last && (frame = get_frame(&length))) {
        if (frame[0] == 1) answer(frame, length);
        if (frame[0] == 4) is_last = 1;
        free(frame);
    }
    return 0;
}
