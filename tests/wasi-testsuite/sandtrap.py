"""Lets the runner of WebAssembly/wasi-testsuite test the command `sandtrap`.

    git clone --branch prod/testsuite-base https://github.com/WebAssembly/wasi-testsuite
    cd wasi-testsuite
    SANDTRAP=…/target/debug/sandtrap ./run-tests -r …/tests/wasi-testsuite/sandtrap.py

The runner wants Python 3.12. SANDTRAP is the command to test, with flags if need be; without it, `sandtrap`
is looked up in PATH. The suite's test `wasi_testsuite` does the same without Python.
"""

import os
import shlex
import subprocess
from typing import Dict, List, Optional, Tuple

SANDTRAP = shlex.split(os.getenv("SANDTRAP", "sandtrap"))


def get_name() -> str:
    return "sandtrap"


def get_version() -> str:
    told = subprocess.run(
        SANDTRAP[:1] + ["--version"], encoding="UTF-8", capture_output=True, check=True
    )
    return told.stdout.split()[1]


def get_wasi_versions() -> List[str]:
    return ["wasm32-wasip1"]


def get_wasi_worlds() -> List[str]:
    return ["wasi:cli/command"]


def compute_argv(
    test_path: str,
    args_env_root: Tuple[List[str], Dict[str, str], Optional[str]],
    proposals: List[str],
    wasi_world: str,
    wasi_version: str,
) -> List[str]:
    args, env, root = args_env_root
    argv = SANDTRAP + ["run", "--in", "wasm", "--quiet"]
    for name, value in env.items():
        argv += ["--env", f"{name}={value}"]
    if root:
        argv += ["--dir", f"{root}:/:rw"]
    return argv + [test_path] + args
