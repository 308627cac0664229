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
    lines = (
        "import manyfit",
        "import numpy",
        "from manyfit import *",
        "import manyfit.worker.child",
    )
    beyond = {line: [] for line in lines}
    for _ in range(runs):
        bare = seconds("pass")
        for line in lines:
            beyond[line].append(seconds(line) - bare)
    for line, times in beyond.items():
        print(f"{line:32}{statistics.median(times):.3f} s beyond the interpreter")
    code = f"import sys, manyfit; print([name for name in {HEAVY!r} if name in sys.modules])"
    loaded = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    print(f"heavy packages loaded: {loaded.stdout.strip()}")


if __name__ == "__main__":
    main()
