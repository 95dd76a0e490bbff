//! Finds the longest Collatz walk, with a table on the heap.
const std = @import("std");

pub fn main() !void {
    const most = 300_000;
    const lengths = try std.heap.page_allocator.alloc(u32, most);
    defer std.heap.page_allocator.free(lengths);
    var best: usize = 1;
    lengths[1] = 1;
    for (2..most) |start| {
        var at: u64 = start;
        var steps: u32 = 0;
        while (at >= start) : (steps += 1) {
            at = if (at % 2 == 0) at / 2 else 3 * at + 1;
        }
        lengths[start] = steps + lengths[@intCast(at)];
        if (lengths[start] > lengths[best]) best = start;
    }
    std.debug.print("longest below {d}: {d} with {d}\n", .{ most, best, lengths[best] });
}
