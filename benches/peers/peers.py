"""Python's ways to run a function in another process: `peers.py NAME` is told a work and a number on each line of
stdin, and answers with as many times, in nanoseconds."""

import importlib
import os
import sys
import time

INPUT = b"\x07" * 64


def echo(data):
    return data


def crash(_):
    os.abort()


def report(queue, function, data):
    queue.put(function(data))


class Multiprocessing:
    """`multiprocessing`: a process for each call, or a pool of one."""

    def __init__(self):
        self.context = importlib.import_module("multiprocessing").get_context("fork")
        self.pool = self.context.Pool(1)

    def fresh(self, function=echo):
        queue = self.context.SimpleQueue()
        process = self.context.Process(target=report, args=(queue, function, INPUT))
        process.start()
        process.join()
        return process.exitcode == 0 and queue.get() == INPUT

    def warm(self):
        return self.pool.apply(echo, (INPUT,)) == INPUT

    def crash(self):
        # Its pool waits for ever for a worker that was killed, so a process of its own it is.
        return not self.fresh(crash) and self.fresh()


class Futures:
    """`concurrent.futures`, and what has its interface."""

    def __init__(self):
        self.open()

    def open(self):
        module = importlib.import_module("concurrent.futures")
        context = importlib.import_module("multiprocessing").get_context("fork")
        self.pool = module.ProcessPoolExecutor(1, mp_context=context)

    def warm(self):
        return self.pool.submit(echo, INPUT).result() == INPUT

    def crash(self):
        try:
            self.pool.submit(crash, INPUT).result()
            return False
        except Exception:
            self.pool.shutdown(wait=False)
            self.open()
            return self.warm()


class Loky(Futures):
    def open(self):
        self.pool = importlib.import_module("loky").get_reusable_executor(max_workers=1, timeout=600)


class Pebble(Futures):
    def open(self):
        self.pool = importlib.import_module("pebble").ProcessPool(max_workers=1)

    def warm(self):
        return self.pool.schedule(echo, args=(INPUT,)).result() == INPUT

    def crash(self):
        try:
            self.pool.schedule(crash, args=(INPUT,)).result()
            return False
        except Exception:
            return self.warm()


class Bombsquad:
    """`bombsquad`: a process for each call."""

    def __init__(self):
        decorate = importlib.import_module("bombsquad").bombsquad
        self.echo = decorate(echo)
        self.abort = decorate(crash)

    def fresh(self):
        return self.echo(INPUT) == INPUT

    def crash(self):
        try:
            self.abort(INPUT)
            return False
        except BaseException:
            return self.fresh()


PEERS = {
    "multiprocessing": Multiprocessing,
    "concurrent.futures": Futures,
    "loky": Loky,
    "pebble": Pebble,
    "bombsquad": Bombsquad,
}


def main():
    name = sys.argv[1]
    module = importlib.import_module(name)
    peer = PEERS[name]()
    print("ready", name, getattr(module, "__version__", "of Python " + sys.version.split()[0]), flush=True)
    for line in sys.stdin:
        what, count = line.split()
        times = []
        work = getattr(peer, what, None)
        for _ in range(int(count) if work else 0):
            began = time.perf_counter_ns()
            if not work():
                break
            times.append(str(time.perf_counter_ns() - began))
        print(" ".join(times), flush=True)


if __name__ == "__main__":
    main()
