"""Damage thousands of files of every kind that can be read, and count what becomes of them.

Each file is read by the same doors as a person's own data. It is right when it is read, or refused with one line; a traceback, a
hang, or memory beyond what the file holds is wrong. Prints one JSON object:

    python benchmarks/damaged_files.py --files 8000 --seed 0
"""

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))


def main() -> int:
    """Run the campaign; exit with 1 where something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=8000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="Folder for files that went wrong; by default a temporary one.")
    options = parser.parse_args()
    folder = options.keep or Path(tempfile.mkdtemp(prefix="damaged-"))
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")  # of converted MATLAB files

    from damage import campaign

    begun = time.perf_counter()
    outcomes = campaign(folder, options.files, options.seed)
    wrong = sum(len(outcome.wrong) for outcome in outcomes.values())
    print(
        json.dumps(
            {
                "files": options.files,
                "seed": options.seed,
                "read": sum(outcome.read for outcome in outcomes.values()),
                "refused": sum(outcome.refused for outcome in outcomes.values()),
                "wrong": wrong,
                "seconds": round(time.perf_counter() - begun, 1),
                "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
                "kinds": {name: asdict(outcome) for name, outcome in outcomes.items()},
            }
        )
    )
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
