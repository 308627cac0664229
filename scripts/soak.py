"""Tests for before a release, or at night: `make soak`, or `make soak PART=kills`.

Each part is a run of pytest of its own, with a line here and its output in build/soak/PART.log. All
parts run, whatever one of them finds; the exit code is 1 if any failed.
"""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
LOGS = ROOT / "build" / "soak"
PARTS = {
    "kills": "processes, machines and drivers killed at random moments, 20 times each",
    "contracts": "every executor on each kind of Spark, and other variants; the laws of Hyperopt",
    "throughput": "trials and reports a second, long floods and long silences",
    "memory": "ten thousand trials",
    "examples": "a thousand new examples for each property",
    "guides": "the code of the guides and of longer examples",
    "wheels": "the package and its extras in fresh environments",
    "spark35": "the oldest Spark that is supported",
    "tensorflow": "TensorFlow in workers and in the demo",
    "torch": "TorchDistributor",
}


def main(chosen: list[str]) -> int:
    """Run the parts that are named, or all; returns how many failed, as an exit code."""
    unknown = [name for name in chosen if name not in PARTS]
    if unknown:
        print(f"There is no part {unknown[0]!r} of the soak. The parts are: {', '.join(PARTS)}")
        return 2
    LOGS.mkdir(parents=True, exist_ok=True)
    failed = [name for name in chosen or PARTS if not run(name)]
    return int(bool(failed))


def run(part: str) -> bool:
    """Run a part and print its line; returns whether it passed."""
    print(f"{part:<12}{PARTS[part]} …", end="", flush=True)
    log, began = LOGS / f"{part}.log", time.monotonic()
    command = [sys.executable, "-m", "pytest", "--soak", part, "-v", "--durations=10"]
    with log.open("w") as file:
        env = {"MANYFIT_ROUNDS": "20", **os.environ}
        code = subprocess.call(command, cwd=ROOT, env=env, stdout=file, stderr=subprocess.STDOUT)
    told = summary(log.read_text(errors="replace"))
    print(f" {told}, {time.monotonic() - began:.0f} s" + (f": see {log}" if code else ""))
    return code == 0


def summary(output: str) -> str:
    """Return what pytest counted, as in "3 passed, 1 skipped"."""
    lines = re.findall(r"^=+ (.*) in [\d.]+s.* =+$", output, re.MULTILINE) or ["no tests ran"]
    return ", ".join(each for each in lines[-1].split(", ") if "selected" not in each)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
