"""Whether advice finds planted mistakes, is silent on clean studies, and is worth following.

Examples::

    python -m benchmarks.advice planted 5     # studies of each case
    python -m benchmarks.advice clean 0       # the first seed
    python -m benchmarks.advice followed 5    # studies of each case
"""

import sys

from benchmarks.advice import clean, followed, planted

if __name__ == "__main__":
    parts = {"planted": planted.main, "clean": clean.main, "followed": followed.main}
    parts[sys.argv[1]](int(sys.argv[2]))
