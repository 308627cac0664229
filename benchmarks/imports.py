"""What `import manyfit` costs beyond the interpreter, and what it brings along.

python benchmarks/imports.py [--runs 11]
"""

import argparse
import statistics
import subprocess
import sys
import time

HEAVY = ("optuna", "mlflow", "pandas", "scipy", "rich", "sklearn", "pyspark")


def seconds(code):
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=11)
    runs = parser.parse_args().runs
    pairs = [
        (seconds("pass"), seconds("import numpy"), seconds("import manyfit")) for _ in range(runs)
    ]
    numpy = statistics.median(b - a for a, b, _ in pairs)
    ours = statistics.median(c - a for a, _, c in pairs)
    print(f"import manyfit: {ours:.3f} s beyond the interpreter, {numpy:.3f} s of it numpy's")
    code = f"import sys, manyfit; print([name for name in {HEAVY!r} if name in sys.modules])"
    loaded = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    print(f"heavy packages loaded: {loaded.stdout.strip()}")


if __name__ == "__main__":
    main()
