/* Places eight queens in all ways, and sorts numbers on the heap. */
#include <stdio.h>
#include <stdlib.h>

static int placed[8], found;

static void place(int row) {
    if (row == 8) {
        found++;
        return;
    }
    for (int column = 0; column < 8; column++) {
        int fits = 1;
        for (int above = 0; above < row; above++) {
            int apart = placed[above] - column;
            fits &= apart != 0 && apart != row - above && apart != above - row;
        }
        if (fits) {
            placed[row] = column;
            place(row + 1);
        }
    }
}

static int by_value(const void *left, const void *right) {
    unsigned a = *(const unsigned *)left, b = *(const unsigned *)right;
    return (a > b) - (a < b);
}

int main(void) {
    enum { COUNT = 500000 };
    place(0);
    unsigned *numbers = malloc(COUNT * sizeof *numbers), state = 1;
    if (numbers == NULL) return 1;
    for (int i = 0; i < COUNT; i++) numbers[i] = state = state * 1664525u + 1013904223u;
    qsort(numbers, COUNT, sizeof *numbers, by_value);
    printf("%d ways, median %u\n", found, numbers[COUNT / 2]);
    free(numbers);
    return 0;
}
