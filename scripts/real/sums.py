"""Hashes squares as JSON, and adds them up; the `main` of a component that exports what `command.wit` says."""

import hashlib
import json

import wit_world.exports


class Run(wit_world.exports.Run):
    """What the wall calls, as `wasi:cli/run`."""

    def run(self) -> None:
        squares = [i * i for i in range(100000)]
        print(hashlib.sha256(json.dumps(squares).encode()).hexdigest()[:16], sum(squares))
