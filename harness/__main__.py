"""`python -m harness` is the same as the installed command `harness`."""

from harness.cli import entry

if __name__ == "__main__":
    entry()
