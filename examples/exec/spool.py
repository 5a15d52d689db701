"""Prints, as JSON lines, how many bytes lie in a folder (the first argument), by the endings of the files' names.

Run like this it prints once and ends. With --loop it answers every line on its standard input, for `mode: long_running` with a
`trigger`: it starts once and not at every interval.
"""

import json
import os
import sys


def print_sizes(folder):
    sizes = {}
    for entry in os.scandir(folder):
        if entry.is_file():
            ending = os.path.splitext(entry.name)[1].lstrip(".") or "none"
            sizes[ending] = sizes.get(ending, 0) + entry.stat().st_size
    for ending, size in sorted(sizes.items()):
        point = {"name": "spool.size", "value": size, "unit": "By", "attributes": {"folder": folder, "ending": ending}}
        print(json.dumps(point))
    # What is written must not wait in a buffer for more.
    sys.stdout.flush()


def main():
    folder = sys.argv[1]
    if "--loop" not in sys.argv:
        print_sizes(folder)
        return
    for _ in sys.stdin:
        try:
            print_sizes(folder)
        except OSError as error:
            print(f"E! {folder} cannot be read: {error}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
