"""``python -m aae`` is the `aae` command."""

from aae.cli import main

if __name__ == "__main__":
    main()
